package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/worker"
)

// requestGrace is how long requests may go on when the server ends.
const requestGrace = 2 * time.Second

// Up runs the API, a scheduler and a worker until ctx ends or the worker was drained. It calls ready when requests
// are answered. When hurry is closed, what runs is no longer waited for.
func (p *Parts) Up(ctx context.Context, hurry <-chan struct{}, ready func(Server)) error {
	unlock, err := takeServerLock(p.cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	token, err := ensureToken(p.cfg.DataDir, p.log)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	p.measure(true, true)
	listener, server, err := p.listen(ctx)
	if err != nil {
		return err
	}
	dog := newWatchdog(p.log)
	own, err := p.worker(p.cfg.Worker.Name, false, cmp.Or(p.cfg.Server.URL, server.URL), dog.watch("worker"))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	health, err := p.listenHealth(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	operations := p.API(token, nil)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return own.Run(ctx) })
	ended := make(chan struct{})
	defer close(ended)
	go killOn(own, hurry, ended)
	group.Go(func() error { return operations.Run(ctx) })
	group.Go(func() error { return serve(ctx, listener, operations.Handler()) })
	group.Go(func() error { return p.serveHealth(ctx, health) })
	group.Go(func() error { return p.tidyHourly(ctx) })
	group.Go(func() error { return p.measureTimes(ctx) })
	group.Go(func() error {
		return tellEnd(ctx, p.log, "what runs has", p.cfg.Worker.ShutdownTimeout+p.cfg.Worker.KillGrace)
	})
	placing := p.embeddedScheduler(own, tidyInterval, dog.watch("scheduler"))
	group.Go(func() error {
		select {
		case <-own.Registered():
		case <-ctx.Done():
			return nil
		}
		if err := writeServerFile(p.cfg.DataDir, server); err != nil {
			return fmt.Errorf("%s: %w", serverFile, err)
		}
		ready(server)
		tellReady(p.log, server.URL+", worker "+p.cfg.Worker.Name)
		return placing.Run(ctx)
	})
	err = group.Wait()
	if errors.Is(err, worker.ErrDrained) {
		err = nil
	}
	return errors.Join(err, removeServerFile(p.cfg.DataDir))
}

// killOn has a worker no longer wait for what runs when hurry is closed, until it has ended.
func killOn(own *worker.Worker, hurry, ended <-chan struct{}) {
	select {
	case <-hurry:
		own.Kill()
	case <-ended:
	}
}

func removeServerFile(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// serve answers requests until ctx ends; live streams end with it.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
		defer cancel()
		ended <- errors.Join(server.Shutdown(grace), server.Close())
	})
	err := server.Serve(listener)
	if stop() {
		return fmt.Errorf("serve: %w", err) // ended by itself
	}
	if err := <-ended; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("end requests: %w", err)
	}
	return nil
}
