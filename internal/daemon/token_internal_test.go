package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/attune-automation/attune/internal/outage/outagetest"
)

func TestATokenThatOthersMayReadIsTakenFromThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log outagetest.Journal
	made, err := ensureToken(dir, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	const said = "who has read it is let in"
	for _, test := range []struct {
		mode os.FileMode
		told int
	}{{0o600, 0}, {0o640, 1}, {0o400, 1}, {0o606, 2}} {
		path := filepath.Join(dir, tokenFile)
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		if token, err := ensureToken(dir, log.Logger()); token != made || err != nil {
			t.Errorf("%#o: %v", test.mode, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%#o became %v %v", test.mode, info.Mode(), err)
		}
		if n := log.Count(said); n != test.told {
			t.Errorf("%#o: it was told %d times, want %d", test.mode, n, test.told)
		}
	}
}
