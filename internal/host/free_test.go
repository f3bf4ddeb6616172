package host_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host"
	"github.com/attune-automation/attune/internal/host/hosttest"
)

// shortOf returns the one shortage that there is, or none.
func shortOf(t *testing.T, h host.Headroom, dirs []string, before ...attune.Shortage) (attune.Shortage, bool) {
	t.Helper()
	found, err := h.Shortages(dirs, before)
	if err != nil || len(found) > 1 {
		t.Fatalf("%+v %v", found, err)
	}
	if len(found) == 0 {
		return attune.Shortage{}, false
	}
	return found[0], true
}

// smallDisk is a file system of 1 MiB and 64 files.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	hosttest.SmallDisk(t, dir, "size=1m,nr_inodes=64")
	return dir
}

func fill(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDiskIsShortUntilThereIsSomeMoreThanTheLeast(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	h := host.Headroom{Disk: 512 << 10}
	dirs := []string{dir, filepath.Join(dir, "not", "there", "yet")} // one file system is short once
	if s, short := shortOf(t, h, dirs); short {
		t.Fatalf("%+v", s)
	}
	file := filepath.Join(dir, "file")
	fill(t, file, 700<<10)
	s, short := shortOf(t, h, dirs)
	if want := (attune.Shortage{Resource: attune.ResourceDisk, Where: dir, Free: 324 << 10, Least: 512 << 10}); !short || s != want {
		t.Fatalf("%+v, want %+v", s, want)
	}
	fill(t, file, 480<<10) // 544 KiB are free: more than the least, and not by a tenth
	if _, short := shortOf(t, h, dirs, s); !short {
		t.Error("it comes and goes")
	}
	if s, short := shortOf(t, h, dirs); short {
		t.Errorf("it was not short before: %+v", s)
	}
	fill(t, file, 400<<10)
	if s, short := shortOf(t, h, dirs, s); short {
		t.Errorf("%+v", s)
	}
}

func TestInodes(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	h := host.Headroom{Inodes: 32}
	if s, short := shortOf(t, h, []string{dir}); short {
		t.Fatalf("%+v", s)
	}
	for i := range 40 {
		fill(t, filepath.Join(dir, strconv.Itoa(i)), 0)
	}
	if s, short := shortOf(t, h, []string{dir}); !short || s.Resource != attune.ResourceInodes || s.Free >= 32 {
		t.Errorf("%+v", s)
	}
}

// TestOpenFiles is not parallel: others open files, too.
func TestOpenFiles(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h := host.Headroom{OpenFiles: int64(limit.Cur) - int64(len(open)) - 20}
	if s, short := shortOf(t, h, nil); short {
		t.Fatalf("%+v", s)
	}
	for range 40 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
	}
	if s, short := shortOf(t, h, nil); !short || s.Resource != attune.ResourceOpenFiles {
		t.Errorf("%+v", s)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	if s, short := shortOf(t, host.Headroom{Memory: 1 << 20}, nil); short {
		t.Errorf("%+v", s)
	}
	if s, short := shortOf(t, host.Headroom{Memory: 1 << 50}, nil); !short || s.Resource != attune.ResourceMemory || s.Free < 1<<20 || s.Where == "" {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsNotToBeLookedAtIsNotShort(t *testing.T) {
	t.Parallel()
	if s, short := shortOf(t, host.Headroom{}, []string{"/"}); short {
		t.Errorf("%+v", s)
	}
}
