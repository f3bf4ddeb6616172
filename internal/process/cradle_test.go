package process_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/process"
)

// TestCommandIsBornClean looks at what a command inherits beside its environment.
func TestCommandIsBornClean(t *testing.T) {
	t.Parallel()
	inherited, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // not as Go opens files: for whoever is started
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(inherited) }()
	s := supervisor(t, process.Auto)
	_, out := runLimited(t, s, process.Limits{}, `umask; grep NoNewPrivs /proc/self/status
(exec 3</dev/tty) 2>/dev/null && echo terminal; exec ls /proc/self/fd`)
	if want := "0077\nNoNewPrivs:\t1\n0\n1\n2\n3\n"; out != want { // 3 is what ls lists
		t.Errorf("%q, want %q", out, want)
	}
	if _, out := runLimited(t, s, process.Limits{}, `env`); strings.Contains(out, "HOME=") {
		t.Errorf("%q", out)
	}
}
