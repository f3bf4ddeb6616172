package e2e_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
)

// screen is what a terminal was sent.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// newScreen returns a terminal of a size, and what it is sent.
func newScreen(t *testing.T, columns, lines uint16) (*os.File, *screen) {
	t.Helper()
	outer, inner := newTerminal(t)
	if err := unix.IoctlSetWinsize(int(inner.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}); err != nil {
		t.Fatal(err)
	}
	s := &screen{}
	go func() { _, _ = io.Copy(s, outer) }() // until the terminal is closed
	return inner, s
}

// TestTablesFitTheTerminal looks at a list in a window of 60 columns and 8 lines, and watches it there.
func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded)
	s := h.up()
	for range 10 {
		h.becomes(s.Client, h.submit(s.Client, script("exit 1", nil)), attune.StatusFailed)
	}
	const columns, height = 60, 8
	inner, shown := newScreen(t, columns, height)
	list := h.command("execution", "list")
	list.Stdout = inner
	if err := list.Run(); err != nil {
		t.Fatal(err)
	}
	h.eventually("the list is there", func() bool { return strings.Count(shown.String(), "\n") == 11 })
	for line := range strings.Lines(shown.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\r\n")); n > columns {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(shown.String(), "…") {
		t.Errorf("nothing was shortened:\n%s", shown)
	}

	inner, shown = newScreen(t, 200, height)
	watch := h.command("execution", "list", "--watch")
	watch.Stdout = inner
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	pages := func() []string { return strings.Split(shown.String(), "\x1b[H\x1b[2J") }
	h.eventually("the list is there", func() bool { return len(pages()) > 1 && strings.Count(pages()[1], "\n") == height-1 })
	h.becomes(s.Client, h.submit(s.Client, echo("new")), attune.StatusCompleted)
	h.eventually("it is written anew", func() bool {
		last := pages()[len(pages())-1]
		return strings.Contains(last, "core.echo") && strings.Contains(last, "completed") && strings.Count(last, "\n") == height-1
	})
	if err := watch.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(watch.Wait()); status != 130 {
		t.Errorf("exit status %d", status)
	}
}
