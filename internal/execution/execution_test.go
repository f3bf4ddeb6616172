package execution_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// bench is a service on a real store and broker, with one action installed.
type bench struct {
	*execution.Service
	t      testing.TB
	store  *store.Store
	broker *inproc.Broker
	action store.StoredAction
	sent   chan broker.Payload
}

func newBench(tb testing.TB, db storetest.Database, change func(*attune.Action)) *bench {
	tb.Helper()
	b := &bench{t: tb, store: db.Open(tb), broker: inproc.New(inproc.Config{}), sent: make(chan broker.Payload, 1000)}
	b.Service = execution.New(execution.Config{
		Store: b.store, Broker: b.broker, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	action := storetest.Action("demo.hello")
	if change != nil {
		change(&action)
	}
	b.action = storetest.PutAction(tb, b.store, action)
	b.listen()
	return b
}

// listen collects everything that is published.
func (b *bench) listen() {
	ctx, stop := context.WithCancelCause(context.Background())
	bound, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		queue := broker.Subscription{
			Queue: "test", Keys: []string{"#"}, Prefetch: 10, Exclusive: true, Ready: sync.OnceFunc(func() { close(bound) }),
		}
		err := b.broker.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) {
			envelope, err := d.Open()
			if err != nil {
				b.t.Error(err)
				return
			}
			b.sent <- envelope.Payload
			if err := d.Ack(); err != nil {
				b.t.Error(err)
			}
		})
		if err != nil {
			b.t.Error(err)
		}
	}()
	<-bound
	b.t.Cleanup(func() { stop(nil); <-ended })
}

func (b *bench) submit() store.ExecutionRow {
	b.t.Helper()
	row, created, err := b.Submit(context.Background(), b.submission())
	if err != nil || !created {
		b.t.Fatalf("submit: %v %v", created, err)
	}
	return row
}

func (b *bench) submission() execution.Submission {
	return execution.Submission{Action: b.action.Action, ActionID: b.action.ID, Parameters: json.RawMessage(`{}`)}
}

// running takes a new execution to running on the worker.
func (b *bench) running() attune.Fence {
	b.t.Helper()
	row := b.submit()
	b.schedule(1)
	f := b.row(row.ID)
	if _, err := b.Claim(context.Background(), f.Fence()); err != nil {
		b.t.Fatal(err)
	}
	return f.Fence()
}

func (b *bench) schedule(want int) {
	b.t.Helper()
	round, err := b.Schedule(context.Background(), nil)
	if err != nil || round.Placed != want {
		b.t.Fatalf("placed %d, want %d: %v", round.Placed, want, err)
	}
}

func (b *bench) row(id int64) store.ExecutionRow {
	b.t.Helper()
	row, err := b.store.Read().Execution(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

func (b *bench) is(id int64, want attune.Status) store.ExecutionRow {
	b.t.Helper()
	row := b.row(id)
	if row.Status != want {
		b.t.Errorf("execution %d is %s, want %s", id, row.Status, want)
	}
	return row
}

// next waits for the next message of type P.
func next[P broker.Payload](b *bench) P {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case payload := <-b.sent:
			if p, ok := payload.(P); ok {
				return p
			}
		case <-deadline:
			var p P
			b.t.Fatalf("no %T was published", p)
		}
	}
}

func completed() attune.Outcome {
	zero := 0
	return attune.Outcome{Status: attune.StatusCompleted, ExitCode: &zero, Result: json.RawMessage(`{"a":1}`)}
}

func failed() attune.Outcome {
	one := 1
	return attune.Outcome{
		Status: attune.StatusFailed, ExitCode: &one, Failure: &attune.Failure{Kind: attune.FailureExit, Message: "exit status 1"},
	}
}

func TestTheOnePathOfAnExecution(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		w := storetest.Worker(t, b.store, "w", 1)
		row := b.submit()
		if m := next[broker.ExecutionRequested](b); m.ExecutionID != row.ID || m.ActionRef != "demo.hello" {
			t.Errorf("%+v", m)
		}
		b.schedule(1)
		m := next[broker.ExecutionScheduled](b)
		if m != (broker.ExecutionScheduled{ExecutionID: row.ID, Attempt: 1, WorkerID: w.ID, Incarnation: 1}) {
			t.Errorf("%+v", m)
		}
		f := b.is(row.ID, attune.StatusScheduled).Fence()
		assignment, err := b.Claim(ctx, f)
		if err != nil || assignment.Action.Ref != "demo.hello" {
			t.Fatalf("%+v %v", assignment, err)
		}
		if c := next[broker.ExecutionStatusChanged](b); c.PreviousStatus != attune.StatusScheduled || c.NewStatus != attune.StatusRunning {
			t.Errorf("%+v", c)
		}
		left := []attune.Artifact{{Name: "stdout.log", Type: attune.ArtifactLog, Bytes: 3, Attempt: 1}}
		if status, err := b.Finish(ctx, f, completed(), left); err != nil || status != attune.StatusCompleted {
			t.Fatalf("%s %v", status, err)
		}
		if c := next[broker.ExecutionStatusChanged](b); c.NewStatus != attune.StatusCompleted || c.ChangedAt.IsZero() {
			t.Errorf("%+v", c)
		}
		end := b.is(row.ID, attune.StatusCompleted)
		if string(end.Result) != `{"a":1}` || end.DurationMS == nil || *end.Worker != "w" || *end.ExitCode != 0 {
			t.Errorf("%+v", end.Execution)
		}
		if files, err := b.store.Read().Artifacts(ctx, row.ID); err != nil || len(files) != 1 || files[0].Worker != "w" {
			t.Errorf("%v %v", files, err)
		}
	})
}

func TestClaimAndFinishMayBeRepeated(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		storetest.Worker(t, b.store, "w", 1)
		f := b.running()
		started := b.row(f.ExecutionID).StartedAt
		if _, err := b.Claim(ctx, f); err != nil {
			t.Errorf("a repeated claim: %v", err)
		}
		if again := b.row(f.ExecutionID).StartedAt; !again.Equal(*started) {
			t.Error("a repeated claim began anew")
		}
		for range 3 {
			if status, err := b.Finish(ctx, f, completed(), nil); err != nil || status != attune.StatusCompleted {
				t.Errorf("%s %v", status, err)
			}
		}
		if _, err := b.Finish(ctx, f, failed(), nil); attune.ErrorCode(err) != attune.CodeStale {
			t.Errorf("another end of the same attempt: %v", err)
		}
		b.is(f.ExecutionID, attune.StatusCompleted)
	})
}

func TestStaleWritersAreRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		storetest.Worker(t, b.store, "w", 1)
		f := b.running()
		for name, g := range map[string]attune.Fence{
			"other worker":       {ExecutionID: f.ExecutionID, Attempt: 1, WorkerID: f.WorkerID + 1, Incarnation: 1},
			"earlier life":       {ExecutionID: f.ExecutionID, Attempt: 1, WorkerID: f.WorkerID, Incarnation: 0},
			"attempt to come":    {ExecutionID: f.ExecutionID, Attempt: 2, WorkerID: f.WorkerID, Incarnation: 1},
			"another's, unknown": {ExecutionID: f.ExecutionID, Attempt: 9, WorkerID: 99, Incarnation: 99},
		} {
			if _, err := b.Claim(ctx, g); attune.ErrorCode(err) != attune.CodeStale {
				t.Errorf("%s: claim: %v", name, err)
			}
			if _, err := b.Finish(ctx, g, completed(), nil); attune.ErrorCode(err) != attune.CodeStale {
				t.Errorf("%s: finish: %v", name, err)
			}
			if err := b.Release(ctx, g); err != nil {
				t.Errorf("%s: release: %v", name, err)
			}
		}
		b.is(f.ExecutionID, attune.StatusRunning)
	})
}

func TestRetryKeepsTheAttemptAndDelaysTheNext(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, func(a *attune.Action) { a.Retry = attune.Retry{MaxAttempts: 2, Delay: time.Hour} }), context.Background()
		storetest.Worker(t, b.store, "w", 1)
		f := b.running()
		for range 2 { // the second is a repetition
			if status, err := b.Finish(ctx, f, failed(), nil); err != nil || status != attune.StatusRequested {
				t.Fatalf("%s %v", status, err)
			}
		}
		row := b.is(f.ExecutionID, attune.StatusRequested)
		if row.Attempt != 2 || row.Error != nil || row.StartedAt != nil || row.Worker != nil {
			t.Errorf("%+v", row.Execution)
		}
		b.schedule(0)
		now, err := b.store.Read().Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if w := execution.WaitingFor(row, nil, now); w == nil || w.Reason != attune.WaitRetry {
			t.Errorf("waits for %+v", w)
		}
		storetest.Age(t, b.store, row.ID, 3601)
		b.schedule(1)
		second := b.row(row.ID).Fence()
		if _, err := b.Claim(ctx, second); err != nil {
			t.Fatal(err)
		}
		if status, err := b.Finish(ctx, second, failed(), nil); err != nil || status != attune.StatusFailed {
			t.Errorf("the last attempt: %s %v", status, err)
		}
	})
}

func TestCancelInEveryStatus(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		storetest.Worker(t, b.store, "w", 10)
		requested := b.submit()
		row, err := b.Cancel(ctx, requested.ID, "ada")
		if err != nil || row.Status != attune.StatusCancelled || row.Error.Message != "cancelled by ada before it began" {
			t.Errorf("%+v %v", row.Execution, err)
		}
		placed := b.submit()
		b.schedule(1)
		f := b.row(placed.ID).Fence()
		if row, err = b.Cancel(ctx, placed.ID, "ada"); err != nil || row.Status != attune.StatusCancelled {
			t.Errorf("%+v %v", row.Execution, err)
		}
		if _, err := b.Claim(ctx, f); attune.ErrorCode(err) != attune.CodeStale {
			t.Errorf("the claim of what was cancelled: %v", err)
		}
		f = b.running()
		for range 2 {
			if row, err = b.Cancel(ctx, f.ExecutionID, "ada"); err != nil || row.Status != attune.StatusCanceling {
				t.Fatalf("%+v %v", row.Execution, err)
			}
			if m := next[broker.ExecutionCancelRequested](b); m.ExecutionID != f.ExecutionID || m.Attempt != 1 {
				t.Errorf("%+v", m)
			}
		}
		if status, err := b.Finish(ctx, f, attune.Outcome{Status: attune.StatusCancelled}, nil); err != nil || status != attune.StatusCancelled {
			t.Errorf("%s %v", status, err)
		}
		if e := b.row(f.ExecutionID).Error; e == nil || e.Kind != attune.FailureCancelled || e.Message != "cancelled by ada" {
			t.Errorf("%+v", e)
		}
		if _, err := b.Cancel(ctx, f.ExecutionID, "ada"); attune.ErrorCode(err) != attune.CodeConflict {
			t.Errorf("what has ended: %v", err)
		}
		if _, err := b.Cancel(ctx, 999, "ada"); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("what is not there: %v", err)
		}
	})
}

func TestCancelThatLosesTheRaceDoesNotRetry(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, func(a *attune.Action) { a.Retry = attune.Retry{MaxAttempts: 5} }), context.Background()
		storetest.Worker(t, b.store, "w", 1)
		f := b.running()
		if _, err := b.Cancel(ctx, f.ExecutionID, "ada"); err != nil {
			t.Fatal(err)
		}
		if status, err := b.Finish(ctx, f, failed(), nil); err != nil || status != attune.StatusFailed {
			t.Errorf("%s %v", status, err)
		}
	})
}

func TestLoseGivesBackAndAbandons(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		w := storetest.Worker(t, b.store, "w", 10)
		running, canceling := b.running(), b.running()
		if _, err := b.Cancel(ctx, canceling.ExecutionID, "ada"); err != nil {
			t.Fatal(err)
		}
		placed := b.submit()
		b.schedule(1)
		for range 2 {
			if _, err := b.Lose(ctx, w.ID, 1, "worker w was lost", nil); err != nil {
				t.Fatal(err)
			}
		}
		if e := b.is(running.ExecutionID, attune.StatusAbandoned).Error; e == nil || e.Kind != attune.FailureWorkerLost {
			t.Errorf("%+v", e)
		}
		b.is(canceling.ExecutionID, attune.StatusCancelled)
		b.is(placed.ID, attune.StatusRequested)
		for _, f := range []attune.Fence{running, canceling} {
			if _, err := b.Finish(ctx, f, completed(), nil); attune.ErrorCode(err) != attune.CodeStale {
				t.Errorf("a finish after it: %v", err)
			}
		}
		b.is(running.ExecutionID, attune.StatusAbandoned)
	})
}

// Who abandons what a lost worker ran can't see its files: who can, adds them later, and what was added stays.
func TestAbandoningAgainAddsWhatIsLeft(t *testing.T) {
	t.Parallel()
	again := attune.Retry{MaxAttempts: 2, On: []attune.Status{attune.StatusAbandoned}}
	for name, policy := range map[string]attune.Retry{"final": {}, "retried": again} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, func(t *testing.T, db storetest.Database) {
				b := newBench(t, db, func(a *attune.Action) { a.Retry = policy })
				b.abandonsAgain()
			})
		})
	}
}

func (b *bench) abandonsAgain() {
	b.t.Helper()
	ctx, w := context.Background(), storetest.Worker(b.t, b.store, "w", 1)
	f := b.running()
	if _, err := b.Lose(ctx, w.ID, w.Incarnation, "lost", nil); err != nil {
		b.t.Fatal(err)
	}
	found := func(attune.Fence) (stdout, stderr attune.Output, left []attune.Artifact) {
		return attune.Output{Bytes: 7, DroppedBytes: 2}, attune.Output{}, []attune.Artifact{
			{Name: "stdout.log", Type: attune.ArtifactLog, Bytes: 5, Attempt: 1},
		}
	}
	for _, location := range []store.Location{store.LocationWorker, store.LocationStored} {
		if _, err := b.Abandon(ctx, f, "gone", found); err != nil {
			b.t.Error(err)
		}
		rows, err := b.store.Read().Artifacts(ctx, f.ExecutionID)
		if err != nil || len(rows) != 1 || rows[0].Name != "stdout.log" || rows[0].Worker != "w" || rows[0].Location != location {
			b.t.Fatalf("%+v %v", rows, err)
		}
		storetest.Write(b.t, b.store, func(ctx context.Context, q *store.Queries) error {
			_, err := q.MarkLocated(ctx, store.LocationStored, []int64{rows[0].ID})
			return err
		})
	}
	got, err := b.store.Read().OutputOf(ctx, b.row(f.ExecutionID), 1)
	if err != nil || got[attune.Stdout] != (attune.Output{Bytes: 7, DroppedBytes: 2}) {
		b.t.Errorf("%+v %v", got, err)
	}
	stranger := f
	stranger.Incarnation++
	if _, err := b.Abandon(ctx, stranger, "gone", found); attune.ErrorCode(err) != attune.CodeStale {
		b.t.Errorf("a life that never had it: %v", err)
	}
}

// What a worker claims after it was judged is not among what it had been judged for.
func TestLosingTheseTakesNoMore(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		w := storetest.Worker(t, b.store, "w", 2)
		first := b.submit()
		b.schedule(1)
		held, err := b.Held(ctx, w.ID, w.Incarnation)
		if err != nil || len(held) != 1 {
			t.Fatal(held, err)
		}
		second := b.submit()
		b.schedule(1)
		for _, id := range []int64{first.ID, second.ID} { // also what had been on its way
			if _, err := b.Claim(ctx, b.row(id).Fence()); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := b.LoseThese(ctx, held, "lost", nil); n != 0 || err != nil {
			t.Error(n, err)
		}
		b.is(first.ID, attune.StatusRunning)
		b.is(second.ID, attune.StatusRunning)
	})
}

func TestLoseLeavesTheNextIncarnationAlone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		storetest.Worker(t, b.store, "w", 10)
		w := storetest.Worker(t, b.store, "w", 10) // a restart
		if w.Incarnation != 2 {
			t.Fatalf("incarnation %d", w.Incarnation)
		}
		f := b.running()
		if n, err := b.Lose(context.Background(), w.ID, 1, "earlier life", nil); err != nil || n != 0 {
			t.Errorf("%d %v", n, err)
		}
		b.is(f.ExecutionID, attune.StatusRunning)
	})
}

func TestPlacementHonoursSlotsRuntimeLabelsAndPin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, func(a *attune.Action) { a.WorkerSelector = map[string]string{"zone": "eu"} }), context.Background()
		storetest.Worker(t, b.store, "plain", 10)
		row := b.submit()
		b.schedule(0)
		workers, err := b.store.Read().Workers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if w := execution.WaitingFor(row, workers, time.Now().Add(time.Hour)); w.Reason != attune.WaitWorker ||
			w.Message != "no worker offers runtime shell, label zone=eu" {
			t.Errorf("%+v", w)
		}
		storetest.Write(t, b.store, func(ctx context.Context, q *store.Queries) error {
			_, _, err := q.RegisterWorker(ctx, store.Registration{
				Name: "eu", Slots: 2, Labels: map[string]string{"zone": "eu"}, Lease: time.Hour,
				Runtimes: []attune.Runtime{{Name: attune.RuntimeShell}},
			})
			return err
		})
		b.submit()
		b.submit()
		b.schedule(2)
		b.schedule(0)
		last := b.row(row.ID + 2)
		if workers, err = b.store.Read().Workers(ctx); err != nil {
			t.Fatal(err)
		}
		if w := execution.WaitingFor(last, workers, time.Now().Add(time.Hour)); w.Reason != attune.WaitSlot {
			t.Errorf("%+v", w)
		}
	})
}

func TestExclusiveWorkersTakeOnlyWhatIsPinned(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		var id int64
		storetest.Write(t, b.store, func(ctx context.Context, q *store.Queries) (err error) {
			id, _, err = q.RegisterWorker(ctx, store.Registration{
				Name: "own", Slots: 5, Exclusive: true, Lease: time.Hour, Runtimes: []attune.Runtime{{Name: attune.RuntimeShell}},
			})
			return err
		})
		free := b.submit()
		sub := b.submission()
		sub.Pin = id
		pinned, _, err := b.Submit(ctx, sub)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Worker(t, b.store, "other", 0)
		b.schedule(1)
		b.is(free.ID, attune.StatusRequested)
		b.is(pinned.ID, attune.StatusScheduled)
		second, _, err := b.Submit(ctx, sub)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.CancelPinned(ctx, id); err != nil {
			t.Fatal(err)
		}
		b.is(second.ID, attune.StatusCancelled)
		b.is(free.ID, attune.StatusRequested)
	})
}

func TestWhatCanNeverRunIsRejected(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		sub := b.submission()
		sub.Pin = 77
		row, _, err := b.Submit(ctx, sub)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := b.Reject(ctx); err != nil || n != 1 {
			t.Fatalf("%d %v", n, err)
		}
		if e := b.is(row.ID, attune.StatusFailed).Error; e == nil || e.Kind != attune.FailureUnschedulable {
			t.Errorf("%+v", e)
		}
	})
}

func TestOldestFirstOverAllClasses(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		ctx := context.Background()
		python := storetest.Action("demo.python")
		python.Runtime = attune.RuntimePython
		other := b.submission()
		other.Action, other.ActionID = python, storetest.PutAction(t, b.store, python).ID
		var ids []int64
		for range 4 {
			ids = append(ids, b.submit().ID)
		}
		for range 2 {
			row, _, err := b.Submit(ctx, other)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, row.ID)
		}
		storetest.Age(t, b.store, ids[4], 100)
		storetest.Write(t, b.store, func(ctx context.Context, q *store.Queries) error {
			_, _, err := q.RegisterWorker(ctx, store.Registration{
				Name: "w", Type: attune.WorkerTypeLocal, Slots: 2, Lease: time.Minute,
				Runtimes: []attune.Runtime{{Name: attune.RuntimeShell}, {Name: attune.RuntimePython}},
			})
			return err
		})
		b.schedule(2)
		b.is(ids[4], attune.StatusScheduled)
		b.is(ids[0], attune.StatusScheduled)
		b.is(ids[1], attune.StatusRequested)
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		sub := b.submission()
		sub.IdempotencyKey, sub.RequestDigest = "k", "one"
		first, created, err := b.Submit(ctx, sub)
		if err != nil || !created {
			t.Fatal(err)
		}
		again, created, err := b.Submit(ctx, sub)
		if err != nil || created || again.ID != first.ID {
			t.Errorf("%d %v %v", again.ID, created, err)
		}
		sub.RequestDigest = "two"
		if _, _, err := b.Submit(ctx, sub); attune.ErrorCode(err) != attune.CodeConflict {
			t.Errorf("%v", err)
		}
	})
}

func TestRerunIsANewExecutionOfTheSameVersion(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		first := b.submit()
		changed := b.action.Action
		changed.Label = "changed"
		storetest.Write(t, b.store, func(ctx context.Context, q *store.Queries) error {
			if err := q.RetireActions(ctx, "demo"); err != nil {
				return err
			}
			_, err := q.PutAction(ctx, changed, true)
			return err
		})
		again, err := b.Rerun(ctx, first.ID, 0, "")
		if err != nil || again.ID == first.ID || again.ActionID != first.ActionID {
			t.Errorf("%+v %v", again, err)
		}
	})
}

func TestSweepRepeatsOnceAndGivesBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		w := storetest.Worker(t, b.store, "w", 2)
		row := b.submit()
		b.schedule(1)
		next[broker.ExecutionScheduled](b)
		if n, err := b.Republish(ctx, 10*time.Second); err != nil || n != 0 {
			t.Errorf("too early: %d %v", n, err)
		}
		storetest.Age(t, b.store, row.ID, 11)
		if n, err := b.Republish(ctx, 10*time.Second); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		next[broker.ExecutionScheduled](b)
		if n, err := b.Republish(ctx, 10*time.Second); err != nil || n != 0 {
			t.Errorf("twice: %d %v", n, err)
		}
		storetest.Age(t, b.store, row.ID, 31)
		if n, err := b.ReleaseUnclaimed(ctx, 30*time.Second); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		b.is(row.ID, attune.StatusRequested)
		b.schedule(0) // its worker is passed over
		storetest.Write(t, b.store, func(ctx context.Context, q *store.Queries) error {
			_, mine, err := q.Heartbeat(ctx, w.ID, 1, time.Hour)
			if !mine {
				t.Error("not ours")
			}
			return err
		})
		b.schedule(1)
	})
}

func TestPlacementThatNoQueueTakesGoesBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		service := execution.New(execution.Config{Store: s, Broker: inproc.New(inproc.Config{}), Logger: slog.New(slog.DiscardHandler)})
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		storetest.Worker(t, s, "w", 1)
		ctx := context.Background()
		row, _, err := service.Submit(ctx, execution.Submission{Action: action.Action, ActionID: action.ID})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := service.Schedule(ctx, nil); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read().Execution(ctx, row.ID)
		if err != nil || got.Status != attune.StatusRequested {
			t.Errorf("%s %v", got.Status, err)
		}
		if round, err := service.Schedule(ctx, nil); err != nil || round.Placed != 0 {
			t.Errorf("placed %d on a worker that has no queue: %v", round.Placed, err)
		}
	})
}

// TestAnyOrderOfCallsEndsOnce throws all calls at one execution, late, repeated and at once, and then checks that it
// ended exactly once.
func TestAnyOrderOfCallsEndsOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, func(a *attune.Action) { a.Retry = attune.Retry{MaxAttempts: 3} })
		w := storetest.Worker(t, b.store, "w", 1000)
		ctx := context.Background()
		rapid.Check(t, func(rt *rapid.T) {
			id := b.submit().ID
			calls := map[string]func(f attune.Fence) error{
				"schedule": func(attune.Fence) error { _, err := b.Schedule(ctx, nil); return err },
				"claim":    func(f attune.Fence) error { _, err := b.Claim(ctx, f); return err },
				"complete": func(f attune.Fence) error { _, err := b.Finish(ctx, f, completed(), nil); return err },
				"fail":     func(f attune.Fence) error { _, err := b.Finish(ctx, f, failed(), nil); return err },
				"release":  func(f attune.Fence) error { return b.Release(ctx, f) },
				"abandon":  func(f attune.Fence) error { _, err := b.Abandon(ctx, f, "gone", nil); return err },
				"cancel":   func(f attune.Fence) error { _, err := b.Cancel(ctx, f.ExecutionID, "ada"); return err },
			}
			names := []string{"schedule", "claim", "complete", "fail", "release", "abandon", "cancel"}
			var ended *store.ExecutionRow
			for range rapid.IntRange(1, 25).Draw(rt, "n") {
				f := attune.Fence{ExecutionID: id, Attempt: rapid.IntRange(1, 3).Draw(rt, "attempt"), WorkerID: w.ID, Incarnation: 1}
				name := rapid.SampledFrom(names).Draw(rt, "call")
				err := calls[name](f)
				switch attune.ErrorCode(err) {
				case "", attune.CodeStale, attune.CodeConflict:
				default:
					rt.Fatalf("%s: %v", name, err)
				}
				row := b.row(id)
				if ended != nil && fmt.Sprint(ended.Status, ended.Attempt, ended.Error, *ended.FinishedAt) !=
					fmt.Sprint(row.Status, row.Attempt, row.Error, *row.FinishedAt) {
					rt.Fatalf("%s changed what was final: %+v to %+v", name, ended.Execution, row.Execution)
				}
				if row.Status.Final() && ended == nil {
					ended = &row
				}
				if row.Status.Final() != (row.FinishedAt != nil) {
					rt.Fatalf("%s: %s, finished %v", name, row.Status, row.FinishedAt)
				}
			}
			for len(b.sent) > 0 {
				<-b.sent
			}
		})
	})
}
