package e2e_test

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// newTerminal returns both ends of a pseudo terminal.
func newTerminal(t *testing.T) (outer, inner *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outer.Close() })
	if err := unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(int(outer.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	inner, err = os.OpenFile("/dev/pts/"+strconv.FormatUint(uint64(n), 10), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	return outer, inner
}

// shows tells whether a terminal shows what is typed.
func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestPromptForAKey types a value unseen, and interrupts another prompt.
func TestPromptForAKey(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded)
	prompt := func(then func(cmd *exec.Cmd, outer *os.File)) (status int) {
		outer, inner := newTerminal(t)
		cmd := h.command("key", "set", "k")
		cmd.Stdin = inner
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		h.eventually("it asks", func() bool { return !shows(t, inner) })
		then(cmd, outer)
		status = exitStatus(cmd.Wait())
		if !shows(t, inner) {
			t.Error("the terminal shows nothing any more")
		}
		return status
	}
	if status := prompt(func(_ *exec.Cmd, outer *os.File) {
		if _, err := outer.WriteString("hunter2-hunter2\n"); err != nil {
			t.Error(err)
		}
	}); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if value := h.attune(0, "key", "get", "k", "--reveal"); value != "hunter2-hunter2" {
		t.Errorf("it is %q", value)
	}
	if status := prompt(func(cmd *exec.Cmd, _ *os.File) {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}); status != 130 {
		t.Errorf("exit status %d", status)
	}
}
