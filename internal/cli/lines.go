package cli

import (
	"io"
	"os"
	"sync"
	"time"
)

// linePatience is how long the one stream waits for the other one's line to end. What the worker holds back to mask it, it holds
// back for half as long.
const linePatience = 400 * time.Millisecond

// lines has two streams that are shown in one place write whole lines there: while the line of the one has not ended, the other
// one waits, but not for long, since a line without an end may be a prompt.
type lines struct {
	mu      sync.Mutex
	open    *lineWriter // has begun a line
	since   time.Time   // when it wrote last
	changed chan struct{}
}

// lineWriter is one of them.
type lineWriter struct {
	of *lines
	to io.Writer
}

// inLines returns both writers as they are, if they write to different places: then neither waits for the other one's reader.
func inLines(stdout, stderr io.Writer) (io.Writer, io.Writer) {
	if !onePlace(stdout, stderr) {
		return stdout, stderr
	}
	both := &lines{changed: make(chan struct{})}
	return &lineWriter{both, stdout}, &lineWriter{both, stderr}
}

// onePlace tells whether two writers are the same terminal, pipe or file.
func onePlace(one, other io.Writer) bool {
	if o, ok := one.(*output); ok {
		one = o.w
	}
	first, ok := one.(*os.File)
	second, also := other.(*os.File)
	if !ok || !also {
		return false
	}
	at, err := first.Stat()
	if err != nil {
		return false
	}
	too, err := second.Stat()
	return err == nil && os.SameFile(at, too)
}

// Write writes p when it may.
func (w *lineWriter) Write(p []byte) (int, error) {
	l := w.of
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open != nil && l.open != w {
		left := linePatience - time.Since(l.since)
		if left <= 0 {
			break
		}
		l.wait(left)
	}
	n, err := w.to.Write(p)
	if n == 0 {
		return n, err
	}
	if l.open, l.since = w, time.Now(); p[n-1] == '\n' {
		l.open = nil
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return n, err
}

// wait waits until somebody has written, for a while; the lock is free meanwhile.
func (l *lines) wait(long time.Duration) {
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}
