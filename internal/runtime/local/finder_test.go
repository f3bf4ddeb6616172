package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host/hosttest"
	"github.com/attune-automation/attune/internal/runtime/local"
)

// fakes is a directory of commands that stand before interpreters and count how often they are asked.
type fakes struct{ dir, asked string }

func newFakes(t *testing.T) fakes {
	t.Helper()
	dir := t.TempDir()
	return fakes{dir: dir, asked: filepath.Join(dir, "asked")}
}

func (f fakes) command(t *testing.T, name, then string) {
	t.Helper()
	script := fmt.Sprintf("#!/bin/bash\necho %s >> '%s'\n%s\n", name, f.asked, then)
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (f fakes) count(t *testing.T, name string) int {
	t.Helper()
	content, err := os.ReadFile(f.asked)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(content), name+"\n")
}

// only looks for interpreters among the fakes.
func (f fakes) only(cache string) func(*local.Config) {
	return func(cfg *local.Config) { cfg.Path, cfg.FallbackPath, cfg.CacheFile = f.dir, "", cache }
}

func capability(l *local.Local, name string) (attune.Runtime, bool) {
	for _, c := range l.Capabilities() {
		if c.Name == name {
			return c, true
		}
	}
	return attune.Runtime{}, false
}

// realPython is one that this host has, past any shim.
func realPython(t *testing.T) attune.Runtime {
	t.Helper()
	found, ok := capability(newLocal(t), attune.RuntimePython)
	hosttest.Needs(t, ok, "no Python 3.8 or later here")
	return found
}

func TestFinderResolvesShimsOnce(t *testing.T) {
	t.Parallel()
	installed, f := realPython(t), newFakes(t)
	f.command(t, "python3", fmt.Sprintf("exec '%s' \"$@\"", installed.Path))
	cache := filepath.Join(t.TempDir(), "new", "cache.json")
	for range 3 { // as three commands, one after the other
		found, ok := capability(newLocal(t, f.only(cache)), attune.RuntimePython)
		if !ok || found != installed {
			t.Errorf("found %+v, want %+v", found, installed)
		}
	}
	if n := f.count(t, "python3"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestFinderAsksAgainWhenAnythingChanged(t *testing.T) {
	t.Parallel()
	installed, f := realPython(t), newFakes(t)
	shim := fmt.Sprintf("exec '%s' \"$@\"", installed.Path)
	f.command(t, "python3", shim)
	cache := filepath.Join(t.TempDir(), "cache.json")
	l := newLocal(t, f.only(cache))
	for n, change := range []func(){
		func() { f.command(t, "python3", shim+" # upgraded") },
		func() {
			if err := os.Chtimes(filepath.Join(f.dir, "python3"), time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		for range 2 {
			if err := l.SetUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.count(t, "python3"); got != n+2 {
			t.Errorf("after change %d asked %d times", n+1, got)
		}
	}
}

func TestFinderOutlivesACorruptCache(t *testing.T) {
	t.Parallel()
	installed, f := realPython(t), newFakes(t)
	f.command(t, "python3", fmt.Sprintf("exec '%s' \"$@\"", installed.Path))
	for _, content := range []string{"", "{", "[]", `{"x":{"path":1}}`, "\x00\xff", "null"} {
		cache := filepath.Join(t.TempDir(), "cache.json")
		if err := os.WriteFile(cache, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		before := f.count(t, "python3")
		for range 2 {
			if _, ok := capability(newLocal(t, f.only(cache)), attune.RuntimePython); !ok {
				t.Errorf("cache %q: no python", content)
			}
		}
		if n := f.count(t, "python3") - before; n != 1 {
			t.Errorf("cache %q: asked %d times, so it was not rewritten", content, n)
		}
	}
}

func TestFinderPassesOverWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	installed, old, f := realPython(t), newFakes(t), newFakes(t)
	old.command(t, "python3", "printf '/bin/bash\\n3.7.9\\nFalse\\n'")
	old.command(t, "python", "exit 1")
	old.command(t, "bash", "echo nonsense")
	f.command(t, "python3", fmt.Sprintf("exec '%s' \"$@\"", installed.Path))
	l := newLocal(t, func(cfg *local.Config) { cfg.Path, cfg.FallbackPath = old.dir, "relative:"+f.dir })
	if found, ok := capability(l, attune.RuntimePython); !ok || found != installed || old.count(t, "python3") != 1 {
		t.Errorf("found %+v", found)
	}
	if found, ok := capability(l, attune.RuntimeShell); ok {
		t.Errorf("found %+v", found)
	}
}

func TestCapabilitiesComeAndGo(t *testing.T) {
	t.Parallel()
	installed, f := realPython(t), newFakes(t)
	l := newLocal(t, f.only(""))
	a := newPython(t, "def run(): return 1", nil)
	if l.CanExecute(a.Task.Action) || len(l.Capabilities()) != 0 {
		t.Errorf("can %+v", l.Capabilities())
	}
	if result := execute(t, l, a); result.Failure == nil || !strings.Contains(result.Failure.Message, "python3") {
		t.Errorf("%+v", result)
	}
	f.command(t, "python3", fmt.Sprintf("exec '%s' \"$@\"", installed.Path))
	if err := l.SetUp(t.Context()); err != nil || !l.CanExecute(a.Task.Action) {
		t.Errorf("after it was installed: %v, %+v", err, l.Capabilities())
	}
	if result := execute(t, l, a); !result.Completed() {
		t.Errorf("%+v", result)
	}
	if err := os.Remove(filepath.Join(f.dir, "python3")); err != nil {
		t.Fatal(err)
	}
	if err := l.SetUp(t.Context()); err != nil || l.CanExecute(a.Task.Action) {
		t.Errorf("after it was removed: %v, %+v", err, l.Capabilities())
	}
}

func TestInterpreterGoneSinceIsASetupFailure(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	copied := filepath.Join(f.dir, "bash")
	content, err := os.ReadFile("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, content, 0o700); err != nil {
		t.Fatal(err)
	}
	l := newLocal(t, f.only(""))
	if found, ok := capability(l, attune.RuntimeShell); !ok || found.Path != copied {
		t.Fatalf("found %+v", found)
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	result := execute(t, l, newShell(t, "exit 0", nil))
	if result.Failure == nil || result.Failure.Kind != attune.FailureSetup || !strings.Contains(result.Failure.Message, copied) {
		t.Errorf("%+v", result)
	}
}
