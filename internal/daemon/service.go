package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/live"
	"github.com/attune-automation/attune/internal/worker"
)

// Server runs the API and a scheduler on PostgreSQL and RabbitMQ, until ctx ends. Any number may run, each on a data
// directory of its own. It calls ready when requests are answered.
func (p *Parts) Server(ctx context.Context, ready func(Server)) error {
	unlock, err := takeServerLock(p.cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	token, err := ensureToken(p.cfg.DataDir, p.log)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	listener, server, err := p.listen(ctx)
	if err != nil {
		return err
	}
	p.mirror = live.NewMirror(live.MirrorConfig{Broker: p.broker, Dir: filepath.Join(p.cfg.DataDir, "live"), Logger: p.log})
	p.measure(true, false)
	operations := p.API(token, nil)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.carry(ctx) })
	group.Go(func() error { return p.mirror.Run(ctx) })
	group.Go(func() error { return operations.Run(ctx) })
	group.Go(func() error { return p.measureTimes(ctx) })
	group.Go(func() error { return p.scheduler(newWatchdog(p.log).watch("scheduler")).Run(ctx) })
	group.Go(func() error { return serve(ctx, listener, operations.Handler()) })
	group.Go(func() error { return tellEnd(ctx, p.log, "requests have", requestGrace) })
	if err := writeServerFile(p.cfg.DataDir, server); err != nil {
		group.Go(func() error { return fmt.Errorf("%s: %w", serverFile, err) })
	} else {
		ready(server)
		tellReady(p.log, server.URL)
	}
	return errors.Join(group.Wait(), removeServerFile(p.cfg.DataDir))
}

// Worker runs a worker on PostgreSQL and RabbitMQ until ctx ends or it was drained. It calls ready when it is
// registered. When hurry is closed, what runs is no longer waited for.
func (p *Parts) Worker(ctx context.Context, hurry <-chan struct{}, ready func(id int64)) error {
	p.measure(false, true)
	own, err := p.worker(p.cfg.Worker.Name, false, p.cfg.Server.URL, newWatchdog(p.log).watch("worker"))
	if err != nil {
		return err
	}
	// A server that shares the directory knows by this one that the worker's files are in it.
	if err := os.MkdirAll(filepath.Join(p.cfg.Artifacts.Dir, p.cfg.Worker.Name), 0o700); err != nil {
		return fmt.Errorf("artifacts.dir: %w", err)
	}
	health, err := p.listenHealth(ctx)
	if err != nil {
		return err
	}
	// The broker's connections outlive the worker's own end, in which it has still to tell how its executions ended.
	carrying, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var carrier errgroup.Group
	carrier.Go(func() error { return p.carry(carrying) })
	group, ctx := errgroup.WithContext(ctx)
	ended, end := context.WithCancelCause(context.Background())
	group.Go(func() error {
		defer end(nil)
		return own.Run(ctx)
	})
	group.Go(func() error { return p.serveHealth(ended, health) }) // to its end, in which it drains
	group.Go(func() error {
		return tellEnd(ctx, p.log, "what runs has", p.cfg.Worker.ShutdownTimeout+p.cfg.Worker.KillGrace)
	})
	group.Go(func() error {
		select {
		case <-own.Registered():
			ready(own.ID())
			tellReady(p.log, "worker "+p.cfg.Worker.Name)
			group.Go(func() error { return p.tidyHourly(ctx) }) // which leaves the directories of registered workers
		case <-ended.Done():
			return nil
		}
		select {
		case <-hurry:
			own.Kill()
		case <-ended.Done():
		}
		return nil
	})
	err = group.Wait()
	stop(nil)
	if errors.Is(err, worker.ErrDrained) {
		err = nil
	}
	return errors.Join(err, carrier.Wait())
}

// Link is the operations inside a command that leaves the work to servers and workers elsewhere.
type Link struct {
	Handler http.Handler
	group   *errgroup.Group
	stop    context.CancelCauseFunc
}

// Link connects to the broker, if that is a server. Close ends it.
func (p *Parts) Link(ctx context.Context) *Link {
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.carry(ctx) })
	return &Link{Handler: p.API("", nil).Handler(), group: group, stop: stop}
}

// Close disconnects.
func (l *Link) Close() error {
	l.stop(errCommandEnded)
	return l.group.Wait()
}
