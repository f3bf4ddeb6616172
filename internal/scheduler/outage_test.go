package scheduler_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// journal is a log to look at.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

func TestChoreThatFailsAgainAndAgainIsToldOnce(t *testing.T) {
	t.Parallel()
	y, log := newYard(t, storetest.SQLite(t)), &journal{}
	y.worker("w1", 1)
	var tried atomic.Int64
	y.start(func(c *scheduler.Config) {
		c.Logger, c.RescueInterval = slog.New(slog.NewTextHandler(log, nil)), time.Millisecond
		c.Bury = func(context.Context, store.WorkerRow) (bool, error) {
			if tried.Add(1) <= 50 {
				return false, errors.New("no answer")
			}
			return false, nil
		}
	})
	storetest.Eventually(t, func() bool { return log.count("chore works again") > 0 })
	if n := log.count("chore failed"); n != 1 || log.count("failures=50") != 1 {
		t.Errorf("%d failures were told, want 1 of 50:\n%s", n, &log.text)
	}
}

func TestPlacingThatFailsAgainAndAgainIsToldOnce(t *testing.T) {
	t.Parallel()
	y, log := newYard(t, storetest.SQLite(t)), &journal{}
	if err := y.store.Close(); err != nil {
		t.Fatal(err)
	}
	var turns atomic.Int64
	stop := y.start(func(c *scheduler.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
		c.Progress = func() { turns.Add(1) }
	})
	storetest.Eventually(t, func() bool { return turns.Load() > 3 })
	stop()
	if n := log.count("placing failed"); n != 1 {
		t.Errorf("told %d times, want 1:\n%s", n, &log.text)
	}
}
