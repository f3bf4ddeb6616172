package scheduler_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/outage/outagetest"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestChoreThatFailsAgainAndAgainIsToldOnce(t *testing.T) {
	t.Parallel()
	y, log := newYard(t, storetest.SQLite(t)), &outagetest.Journal{}
	y.worker("w1", 1)
	var tried atomic.Int64
	y.start(func(c *scheduler.Config) {
		c.Logger, c.RescueInterval = log.Logger(), time.Millisecond
		c.Bury = func(context.Context, store.WorkerRow) (bool, error) {
			if tried.Add(1) <= 50 {
				return false, errors.New("no answer")
			}
			return false, nil
		}
	})
	storetest.Eventually(t, func() bool { return log.Count("chore works again") > 0 })
	if n := log.Count("chore failed"); n != 1 || log.Count("failures=50") != 1 {
		t.Errorf("%d failures were told, want 1 of 50:\n%s", n, log)
	}
}

func TestPlacingThatFailsAgainAndAgainIsToldOnce(t *testing.T) {
	t.Parallel()
	y, log := newYard(t, storetest.SQLite(t)), &outagetest.Journal{}
	if err := y.store.Close(); err != nil {
		t.Fatal(err)
	}
	var turns atomic.Int64
	stop := y.start(func(c *scheduler.Config) {
		c.Logger = log.Logger()
		c.Progress = func() { turns.Add(1) }
	})
	storetest.Eventually(t, func() bool { return turns.Load() > 3 })
	stop()
	if n := log.Count("placing failed"); n != 1 {
		t.Errorf("told %d times, want 1:\n%s", n, log)
	}
}
