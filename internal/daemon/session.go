package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/worker"
)

// Session is a scheduler and a worker inside a command, for as long as the command lasts. The worker takes only what
// this command submits.
type Session struct {
	Handler http.Handler
	worker  *worker.Worker
	ended   chan struct{} // closed when the worker has ended
	group   *errgroup.Group
	stop    context.CancelCauseFunc
}

var errCommandEnded = errors.New("the command has ended")

// Session starts a scheduler and a worker of the command's own. Close ends them.
func (p *Parts) Session(ctx context.Context) (*Session, error) {
	own, err := p.worker(sessionWorkerName(p.cfg), true, "", nil)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	operations := p.API("", own.ID)
	s := &Session{Handler: operations.Handler(), worker: own, ended: make(chan struct{}), group: group, stop: stop}
	group.Go(func() error {
		defer close(s.ended)
		return own.Run(ctx)
	})
	select {
	case <-own.Registered():
	case <-ctx.Done():
		return nil, s.Close()
	}
	due, err := tidyDue(p.cfg.DataDir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", tidyFile, err), s.Close())
	}
	retain := -tidyInterval
	if due {
		retain = tidyInterval
		group.Go(func() error { return p.tidyOnce(ctx) })
	}
	group.Go(func() error { return p.embeddedScheduler(own, retain, nil).Run(ctx) })
	group.Go(func() error { return operations.Run(ctx) })
	return s, nil
}

// Kill ends what runs at once, without a grace; its executions end like any other.
func (s *Session) Kill() { s.worker.Kill() }

// Ended is closed when the worker has ended: nothing more will come of what it ran.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Close ends what still runs, deregisters the worker, and waits for all of it.
func (s *Session) Close() error {
	s.stop(errCommandEnded)
	return s.group.Wait()
}

// sessionWorkerName is host-<random>: several commands may run on one data directory at once.
func sessionWorkerName(cfg *config.Config) string {
	var suffix [4]byte
	_, _ = rand.Read(suffix[:]) // never fails
	return fmt.Sprintf("%.100s-%s", cfg.Worker.Name, hex.EncodeToString(suffix[:]))
}
