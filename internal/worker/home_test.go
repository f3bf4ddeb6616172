package worker_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/worker"
)

// TestTidyingKeepsNobodyFromStarting tidies again and again while a worker starts: a home without a row may be removed
// at any moment, also between its making and the taking of its lock.
func TestTidyingKeepsNobodyFromStarting(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	host := worker.Host{Store: h.store, DataDir: h.dir, ArtifactsDir: filepath.Join(h.dir, "artifacts")}
	done := make(chan struct{})
	var tidying sync.WaitGroup
	tidying.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := host.Tidy(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	processes, err := process.New(process.Config{RecordsDir: h.cfg.Home.Processes()})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("no need to go on")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(why)
	for range 3000 {
		w := worker.New(h.cfg, worker.Deps{
			Store: h.store, Broker: h.broker, Executions: h.Service, Processes: processes,
			Runtimes: runtime.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		})
		if err := w.Run(ctx); errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	close(done)
	tidying.Wait()
	if err := host.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "workers")); len(left) > 0 {
		t.Errorf("homes without a row stay: %v %v", left, err)
	}
}
