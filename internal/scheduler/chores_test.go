package scheduler_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestUnclaimedGoesBackAndItsWorkerIsPassedOver(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		deaf, lies := y.worker("deaf", 10)
		y.start()
		id := y.submit()
		next(t, lies)
		awake, placed := y.worker("awake", 1)
		storetest.Age(t, y.store, id, 31)
		if f := next(t, placed); f.ExecutionID != id || f.WorkerID != awake.ID {
			t.Errorf("%+v", f)
		}
		row, err := y.store.Read().Worker(context.Background(), deaf.ID)
		if err != nil || !row.PassedOver {
			t.Errorf("%+v %v", row, err)
		}
	})
}

func TestPlacedAsItsWorkerStartedAgainIsPlacedAnew(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, placed := y.worker("w", 1)
		y.start()
		id := y.submit()
		first := next(t, placed)
		again := storetest.Worker(t, y.store, "w", 1)
		if f := next(t, placed); f.ExecutionID != id || f.Incarnation != again.Incarnation || f.Incarnation == first.Incarnation {
			t.Errorf("%+v after %+v", f, first)
		}
	})
}

func TestScheduledIsPublishedAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, placed := y.worker("w", 1)
		y.start()
		id := y.submit()
		first := next(t, placed)
		storetest.Age(t, y.store, id, 11)
		if again := next(t, placed); again != first {
			t.Errorf("%+v, then %+v", first, again)
		}
	})
}

func TestPinnedToAWorkerThatIsGoneCanNeverRun(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		row := storetest.Worker(t, y.store, "gone", 1)
		pinned := y.submission()
		pinned.Pin = row.ID
		e, _, err := y.Submit(context.Background(), pinned)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error { return q.DeleteWorker(ctx, row.ID) })
		y.start()
		if e := y.becomes(e.ID, attune.StatusFailed); e.Error == nil || e.Error.Kind != attune.FailureUnschedulable {
			t.Errorf("%+v", e.Error)
		}
	})
}

// silentLease is the lease of silent's workers.
const silentLease = 400 * time.Millisecond

// silent makes a worker that runs one execution and has been silent past its lease.
func silent(y *yard, name string) (store.WorkerRow, attune.Fence) {
	y.t.Helper()
	row, _ := y.worker(name, 1)
	storetest.Write(y.t, y.store, func(ctx context.Context, q *store.Queries) error {
		_, _, err := q.Heartbeat(ctx, row.ID, row.Incarnation, silentLease)
		return err
	})
	id := y.submit()
	if round, err := y.Schedule(context.Background(), []int64{row.ID}); round.Placed != 1 || err != nil {
		y.t.Fatal(round, err)
	}
	fence := y.row(id).Fence()
	y.claim(fence)
	storetest.Write(y.t, y.store, func(ctx context.Context, q *store.Queries) error { return q.AgeWorker(ctx, row.ID, 1000) })
	return row, fence
}

func TestSilentWorkerIsLostWhenItsLeaseWasSeenToEnd(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		row, fence := silent(y, "w")
		begun := time.Now()
		y.start()
		e := y.becomes(fence.ExecutionID, attune.StatusAbandoned)
		if seen := time.Since(begun); seen < silentLease {
			t.Errorf("judged after %v, before a whole lease was seen", seen)
		}
		if e.Error == nil || e.Error.Kind != attune.FailureWorkerLost {
			t.Errorf("%+v", e.Error)
		}
		storetest.Eventually(t, func() bool {
			w, err := y.store.Read().Worker(context.Background(), row.ID)
			return err == nil && w.Status == attune.WorkerLost
		})
		if _, err := y.Finish(context.Background(), fence, attune.Outcome{Status: attune.StatusCompleted}, nil); attune.ErrorCode(err) != attune.CodeStale {
			t.Errorf("a late result: %v", err)
		}
	})
}

func TestHeartbeatInTimeSavesAWorker(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		row, fence := silent(y, "w")
		silent(y, "other")
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
			_, _, err := q.Heartbeat(ctx, row.ID, row.Incarnation, time.Hour)
			return err
		})
		y.start()
		storetest.Eventually(t, func() bool {
			w, err := y.store.Read().WorkerByName(context.Background(), "other")
			return err == nil && w.Status == attune.WorkerLost
		})
		if e := y.row(fence.ExecutionID); e.Status != attune.StatusRunning {
			t.Errorf("a worker that was heard lost its execution: %s", e.Status)
		}
	})
}

func TestLostAttemptIsRetriedByPolicy(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db, func(a *attune.Action) {
			a.Retry = attune.Retry{MaxAttempts: 2, On: []attune.Status{attune.StatusAbandoned}}
		})
		_, fence := silent(y, "w")
		_, placed := y.worker("next", 1)
		y.start()
		if f := next(t, placed); f.ExecutionID != fence.ExecutionID || f.Attempt != 2 {
			t.Errorf("%+v", f)
		}
	})
}

func TestBuryDecidesInsteadOfTheLease(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, kept := silent(y, "held")
		failing, unknown := silent(y, "unknown")
		var asked atomic.Int64
		y.start(func(c *scheduler.Config) {
			c.Bury = func(_ context.Context, w store.WorkerRow) (bool, error) {
				if w.ID == failing.ID {
					asked.Add(1)
					return false, errNoAnswer
				}
				return false, nil
			}
		})
		storetest.Eventually(t, func() bool { return asked.Load() > 3 })
		for _, f := range []attune.Fence{kept, unknown} {
			if e := y.row(f.ExecutionID); e.Status != attune.StatusRunning {
				t.Errorf("execution %d of a worker that is not dead is %s", e.ID, e.Status)
			}
		}
	})
}

// startBurying starts a scheduler of the embedded shape to which every worker is dead, and counts how often it is asked of one.
func (y *yard) startBurying(of store.WorkerRow) (asked *atomic.Int64) {
	asked = new(atomic.Int64)
	y.start(func(c *scheduler.Config) {
		c.Reach = func() []int64 { return []int64{of.ID} } // a command's worker is its own scheduler's
		c.Bury = func(_ context.Context, w store.WorkerRow) (bool, error) {
			if w.ID == of.ID {
				asked.Add(1)
			}
			return true, nil
		}
	})
	return asked
}

// nextRound waits until the workers were looked at again: one that comes only now is buried by a later round, which has
// looked at those that were there before, because it goes by name.
func (y *yard) nextRound() {
	y.t.Helper()
	later := storetest.Worker(y.t, y.store, "later", 1)
	storetest.Eventually(y.t, func() bool {
		w, err := y.store.Read().Worker(context.Background(), later.ID)
		return err == nil && w.Status == attune.WorkerLost
	})
}

func TestBuriedWorkersAreRescuedOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		row, fence := silent(y, "dead")
		exclusive := storetest.Worker(t, y.store, "command", 1)
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
			_, _, err := q.RegisterWorker(ctx, store.Registration{
				Name: "command", Slots: 1, Exclusive: true, Seen: 1, Lease: time.Hour, Runtimes: []attune.Runtime{{Name: attune.RuntimeShell}},
			})
			return err
		})
		pinned := y.submission()
		pinned.Pin = exclusive.ID
		waiting, _, err := y.Submit(context.Background(), pinned)
		if err != nil {
			t.Fatal(err)
		}
		asked := y.startBurying(row)
		y.becomes(fence.ExecutionID, attune.StatusAbandoned)
		y.becomes(waiting.ID, attune.StatusCancelled)
		storetest.Eventually(t, func() bool {
			_, err := y.store.Read().Worker(context.Background(), exclusive.ID)
			return attune.ErrorCode(err) == attune.CodeNotFound
		})
		y.nextRound()
		if n := asked.Load(); n != 1 {
			t.Errorf("the dead worker was buried %d times", n)
		}
	})
}

func TestCordonedWorkerThatDiedIsRescuedOnceAndStaysCordoned(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		row, fence := silent(y, "dead")
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
			_, err := q.SetWorkerStatus(ctx, row.ID, attune.WorkerCordoned, attune.WorkerActive)
			return err
		})
		asked := y.startBurying(row)
		y.becomes(fence.ExecutionID, attune.StatusAbandoned)
		y.nextRound()
		if n := asked.Load(); n != 1 {
			t.Errorf("the dead worker was buried %d times", n)
		}
		if w, err := y.store.Read().Worker(context.Background(), row.ID); err != nil || w.Status != attune.WorkerCordoned {
			t.Errorf("%+v %v", w, err)
		}
	})
}

func TestRowsArePrunedAtOnceAndByAge(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, old := silent(y, "w")
		_, young := silent(y, "v")
		for _, f := range []attune.Fence{old, young} {
			left := []attune.Artifact{{Name: "stdout.log", Type: attune.ArtifactLog, Attempt: 1}}
			if _, err := y.Finish(context.Background(), f, attune.Outcome{Status: attune.StatusCompleted}, left); err != nil {
				t.Fatal(err)
			}
		}
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
			return q.AgeArtifacts(ctx, old.ExecutionID, 7200)
		})
		y.start(func(c *scheduler.Config) { c.Retention = time.Hour })
		count := func(f attune.Fence) int {
			all, err := y.store.Read().Artifacts(context.Background(), f.ExecutionID)
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		storetest.Eventually(t, func() bool { return count(old) == 0 })
		if count(young) != 1 {
			t.Error("what is not old is gone")
		}
		if y.row(old.ExecutionID).Status != attune.StatusCompleted {
			t.Error("the execution itself has changed")
		}
		if _, err := y.store.Read().Action(context.Background(), y.action.Ref); err != nil {
			t.Error(err)
		}
	})
}

func TestCancelingIsPublishedAgainToItsWorker(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		_, fence := silent(y, "w")
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
			_, _, err := q.Heartbeat(ctx, fence.WorkerID, fence.Incarnation, time.Hour)
			return err
		})
		if _, err := y.Cancel(context.Background(), fence.ExecutionID, "a test"); err != nil {
			t.Fatal(err)
		}
		storetest.Age(t, y.store, fence.ExecutionID, 11)
		y.start()
		requests := y.control(fence.WorkerID)
		if got := next(t, requests); got.ExecutionID != fence.ExecutionID {
			t.Errorf("%+v", got)
		}
	})
}

func TestAuditLogIsKeptForSoLong(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		y := newYard(t, db)
		const many = 600 // more than a batch
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error {
			for i := range many {
				event := attune.AuditEvent{Actor: "a test", Event: "happened", Subject: fmt.Sprint(i)}
				if err := q.Audit(ctx, event); err != nil {
					return err
				}
				if i > 0 { // the first one was noted by a clock that was wrong
					if err := q.AgeAudit(ctx, int64(i+1), 7200); err != nil {
						return err
					}
				}
			}
			return q.Audit(ctx, attune.AuditEvent{Actor: "a test", Event: "happened", Subject: "young"})
		})
		left := func() (subjects []string) {
			events, err := y.store.Read().Audited(context.Background(), 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				subjects = append(subjects, e.Subject)
			}
			return subjects
		}
		y.start(func(c *scheduler.Config) { c.AuditRetention = time.Hour })
		storetest.Eventually(t, func() bool { return len(left()) <= 2 })
		if got := left(); !slices.Equal(got, []string{"young", "0"}) {
			t.Errorf("%q is left", got)
		}
	})
}
