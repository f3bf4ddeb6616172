package worker_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

// TestTidyingKeepsNobodyFromStarting tidies again and again while workers start and end: a home without a row may be
// removed at any moment, also just before its lock is taken.
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
	for range 20 {
		h.start()
		if err := h.end(); err != nil {
			t.Fatal(err)
		}
		storetest.DeleteWorker(t, h.store, "w")
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
