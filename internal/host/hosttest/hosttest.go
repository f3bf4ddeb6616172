// Package hosttest is what tests need of the host that they run on.
package hosttest

import (
	"os"
	"syscall"
	"testing"
)

// Needs ends a test that can't run here: elsewhere it is skipped, in CI, which runs every test, it fails.
func Needs(t testing.TB, there bool, format string, args ...any) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("CI") != "":
		t.Fatalf("CI runs every test: "+format, args...)
	default:
		t.Skipf(format, args...)
	}
}

// SmallDisk makes a directory a file system of its own until the test ends, a tmpfs with these mount options.
func SmallDisk(t testing.TB, dir, options string) {
	t.Helper()
	Needs(t, os.Geteuid() == 0, "mounting a small tmpfs needs root")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
	Needs(t, err == nil, "mount a tmpfs: %v", err)
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
