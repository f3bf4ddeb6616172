package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// notifyInterrupts returns the signals that ask a command to end, of which two are kept while nobody listens.
func notifyInterrupts() (chan os.Signal, func()) {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return interrupts, func() {
		signal.Stop(interrupts) // after which nothing is sent
		close(interrupts)
	}
}

// errInterrupted is why a command ends that was interrupted before there was an execution to cancel.
var errInterrupted = errors.New("interrupted")

// interrupted tells whether a signal came.
type interrupted bool

// or is the error of a command that failed with err, which a signal has caused if one came.
func (i interrupted) or(err error) error {
	if i {
		return exitError(exitCancelled)
	}
	return err
}

// interruptible returns a context that the first signal ends. release gives the signals back to whoever listens next,
// one that came included.
func interruptible(ctx context.Context, interrupts chan os.Signal) (_ context.Context, release func() interrupted) {
	ctx, end := context.WithCancelCause(ctx)
	released, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-released:
		case signal := <-interrupts:
			end(errInterrupted)
			select {
			case interrupts <- signal:
			default: // more came meanwhile
			}
		}
	}()
	return ctx, func() interrupted {
		close(released)
		<-ended
		end(nil)
		return interrupted(errors.Is(context.Cause(ctx), errInterrupted))
	}
}
