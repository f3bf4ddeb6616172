package scheduler_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestManyArePlacedAsSlotsGetFree(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		const all, slots = 450, 7 // more than one batch, and never more than the slots at once
		y := newYard(t, db)
		_, placed := y.worker("w", slots)
		y.start(func(c *scheduler.Config) { c.RepublishAfter = time.Hour }) // however slow the disk is
		for range all {
			y.submit()
		}
		seen := map[int64]bool{}
		var running []attune.Fence
		for len(seen) < all {
			f := next(t, placed)
			if seen[f.ExecutionID] {
				t.Fatalf("execution %d was placed twice", f.ExecutionID)
			}
			seen[f.ExecutionID] = true
			y.claim(f)
			if running = append(running, f); len(running) > slots {
				t.Fatalf("%d at once", len(running))
			}
			if len(running) == slots || len(seen) == all {
				for _, f := range running {
					y.finish(f, attune.StatusCompleted)
				}
				running = nil
			}
		}
	})
}

func TestLostRequestIsFoundInTheTable(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, placed := y.worker("w", 1)
		y.start()
		id := y.insert()
		if f := next(t, placed); f.ExecutionID != id {
			t.Errorf("%+v", f)
		}
	})
}

func TestRepeatedAndLateRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, placed := y.worker("w", 5)
		id := y.submit()
		again := broker.Requested(broker.ExecutionRequested{ExecutionID: id, ActionRef: "demo.x"})
		y.start()
		f := next(t, placed)
		for range 20 {
			if err := y.broker.Publish(context.Background(), again); err != nil {
				t.Fatal(err)
			}
		}
		y.claim(f)
		y.finish(f, attune.StatusCompleted)
		if err := y.broker.Publish(context.Background(), again); err != nil {
			t.Fatal(err)
		}
		last := y.submit()
		if f := next(t, placed); f.ExecutionID != last {
			t.Errorf("execution %d was placed, want only %d", f.ExecutionID, last)
		}
		if row := y.row(id); row.Status != attune.StatusCompleted || row.Attempt != 1 {
			t.Errorf("%+v", row)
		}
	})
}

func TestUnreadableMessageGoesToTheDeadLetters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, placed := y.worker("w", 1)
		y.start()
		first := y.submit()
		f := next(t, placed) // the scheduler's queue is bound
		message := broker.Requested(broker.ExecutionRequested{ExecutionID: first, ActionRef: "demo.x"})
		message.Envelope.Version = "99.0"
		if err := y.broker.Publish(context.Background(), message); err != nil {
			t.Fatal(err)
		}
		dead := make(chan broker.Delivery, 1)
		ctx, stop := context.WithCancelCause(context.Background())
		ended := make(chan error, 1)
		go func() {
			queue := broker.Subscription{Queue: broker.DeadLetterQueue, Prefetch: 1}
			ended <- y.broker.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) { dead <- d; _ = d.Ack() })
		}()
		if d := <-dead; d.Headers[broker.HeaderQueue] != "attune.scheduler" || d.Headers[broker.HeaderReason] == "" {
			t.Errorf("%v", d.Headers)
		}
		stop(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		y.claim(f)
		y.finish(f, attune.StatusCompleted)
		second := y.submit()
		if f := next(t, placed); f.ExecutionID != second {
			t.Error("the scheduler does not go on")
		}
	})
}

func TestOnlyWorkersThatMayGetWork(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		reached, placed := y.worker("reached", 1)
		_, elsewhere := y.worker("elsewhere", 5)
		reach := []int64{reached.ID}
		for _, status := range []attune.WorkerStatus{attune.WorkerCordoned, attune.WorkerDraining, attune.WorkerInactive, attune.WorkerLost} {
			row, _ := y.worker(string(status), 5)
			reach = append(reach, row.ID)
			storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
				_, err := q.SetWorkerStatus(ctx, row.ID, status, attune.WorkerActive)
				return err
			})
		}
		y.start(func(c *scheduler.Config) {
			c.Reach = func() []int64 { return reach }
		})
		for range 3 {
			y.submit()
		}
		for range 3 {
			f := next(t, placed)
			if f.WorkerID != reached.ID {
				t.Errorf("%+v", f)
			}
			y.claim(f)
			y.finish(f, attune.StatusCompleted)
		}
		if len(elsewhere) > 0 {
			t.Error("a worker that is not reached was given work")
		}
	})
}

func TestRetryBeginsWhenItIsDue(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db, func(a *attune.Action) { a.Retry = attune.Retry{MaxAttempts: 2, Delay: 300 * time.Millisecond} })
		_, placed := y.worker("w", 1)
		y.start()
		id := y.submit()
		first := next(t, placed)
		y.claim(first)
		y.finish(first, attune.StatusFailed)
		second := next(t, placed)
		row := y.row(id)
		if second.Attempt != 2 || row.ScheduledAt.Before(row.NotBefore) {
			t.Errorf("attempt %d was placed at %v, due at %v", second.Attempt, row.ScheduledAt, row.NotBefore)
		}
		if late := row.ScheduledAt.Sub(row.NotBefore); late > 900*time.Millisecond {
			t.Errorf("%v late: the poll placed it, not its own time", late)
		}
	})
}

func TestDatabaseThatIsAwayIsNoReasonToEnd(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		if err := y.store.Close(); err != nil {
			t.Fatal(err)
		}
		stop := y.start(func(c *scheduler.Config) { c.SweepInterval = time.Millisecond })
		asked := make(chan struct{}, 100)
		y.start(func(c *scheduler.Config) {
			c.Reach = func() []int64 { return nil }
			c.Bury = func(context.Context, store.WorkerRow) (bool, error) { return false, fmt.Errorf("never") }
			c.RescueInterval = time.Millisecond
			asked <- struct{}{}
		})
		<-asked
		stop()
	})
}
