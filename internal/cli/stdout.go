package cli

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// output is the process's standard output. It keeps the first error of writing: a command says nothing of it, and exit
// finds it here. After that nothing more is written, so that what came out is a part of the whole without gaps.
type output struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

// Write passes p on, or returns the error that ended the output. The lock is not held meanwhile: a reader may take
// nothing for long.
func (o *output) Write(p []byte) (int, error) {
	if err := o.fault(); err != nil {
		return 0, err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.err = err
	}
	return n, err
}

// fault returns the error that ended the output, nil if it is whole.
func (o *output) fault() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// readerGone tells whether an output ended because its reader has what it wanted: `attune run … | head -1`.
func readerGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

// survivePipes makes writing to a pipe without a reader an error instead of the end of the process, which may have
// executions to look after. The signal is caught and not ignored: what is ignored stays so in every action.
func survivePipes() (release func()) {
	broken := make(chan os.Signal, 1) // nobody reads it: the write's error says the same
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}
