package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// yard is a store, a broker and the transitions, on which tests play the workers.
type yard struct {
	*execution.Service
	t      *testing.T
	store  *store.Store
	broker *inproc.Broker
	action store.StoredAction
}

func newYard(t *testing.T, db storetest.Database, change ...func(*attune.Action)) *yard {
	t.Helper()
	y := &yard{t: t, store: db.Open(t), broker: inproc.New(inproc.Config{})}
	y.Service = execution.New(execution.Config{Store: y.store, Broker: y.broker, Logger: slog.New(slog.DiscardHandler)})
	action := storetest.Action("demo.x")
	for _, c := range change {
		c(&action)
	}
	y.action = storetest.PutAction(t, y.store, action)
	return y
}

// start runs a scheduler until the test ends, or stop is called.
func (y *yard) start(change ...func(*scheduler.Config)) (stop func()) {
	y.t.Helper()
	cfg := scheduler.Config{
		Store: y.store, Broker: y.broker, Executions: y.Service, Logger: slog.New(slog.DiscardHandler),
		SweepInterval: 20 * time.Millisecond, RescueInterval: 20 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- scheduler.New(cfg).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel(nil)
		if err := <-ended; err != nil {
			y.t.Errorf("the scheduler ended with %v", err)
		}
	})
	y.t.Cleanup(stop)
	return stop
}

// worker registers a worker and declares its queue, and returns its row and what was placed on it.
func (y *yard) worker(name string, slots int) (store.WorkerRow, <-chan attune.Fence) {
	y.t.Helper()
	row := storetest.Worker(y.t, y.store, name, slots)
	return row, y.listen(broker.WorkerQueue(row.ID, 100))
}

// control declares a worker's other queue, and returns what it is asked to cancel.
func (y *yard) control(workerID int64) <-chan attune.Fence {
	y.t.Helper()
	return y.listen(broker.WorkerControlQueue(workerID, 100))
}

func (y *yard) listen(queue broker.Subscription) <-chan attune.Fence {
	y.t.Helper()
	got := make(chan attune.Fence, 10_000)
	ctx, stop := context.WithCancelCause(context.Background())
	bound, ended := make(chan struct{}), make(chan error, 1)
	queue.Ready = sync.OnceFunc(func() { close(bound) })
	go func() {
		ended <- y.broker.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) {
			envelope, err := d.Open()
			if err != nil {
				y.t.Error(err)
				return
			}
			switch m := envelope.Payload.(type) {
			case broker.ExecutionScheduled:
				got <- attune.Fence{ExecutionID: m.ExecutionID, Attempt: m.Attempt, WorkerID: m.WorkerID, Incarnation: m.Incarnation}
			case broker.ExecutionCancelRequested:
				got <- attune.Fence{ExecutionID: m.ExecutionID, Attempt: m.Attempt}
			}
			_ = d.Ack()
		})
	}()
	<-bound
	y.t.Cleanup(func() {
		stop(nil)
		if err := <-ended; err != nil {
			y.t.Error(err)
		}
	})
	return got
}

func (y *yard) submission() execution.Submission {
	return execution.Submission{Action: y.action.Action, ActionID: y.action.ID}
}

func (y *yard) submit() int64 {
	y.t.Helper()
	row, _, err := y.Submit(context.Background(), y.submission())
	if err != nil {
		y.t.Fatal(err)
	}
	return row.ID
}

// insert stores a request whose message is lost.
func (y *yard) insert() (id int64) {
	y.t.Helper()
	return storetest.Insert(y.t, y.store, store.NewExecution{
		ActionID: y.action.ID, Action: y.action.Ref, MaxAttempts: y.action.Retry.Attempts(),
		Class:      execution.Class{Runtime: y.action.Runtime}.String(),
		Parameters: json.RawMessage("{}"), Env: json.RawMessage("{}"), Context: json.RawMessage("{}"),
	})
}

func (y *yard) row(id int64) store.ExecutionRow {
	y.t.Helper()
	row, err := y.store.Read().Execution(context.Background(), id)
	if err != nil {
		y.t.Fatal(err)
	}
	return row
}

func (y *yard) becomes(id int64, want ...attune.Status) store.ExecutionRow {
	y.t.Helper()
	var row store.ExecutionRow
	storetest.Eventually(y.t, func() bool { row = y.row(id); return slices.Contains(want, row.Status) })
	return row
}

func (y *yard) claim(f attune.Fence) {
	y.t.Helper()
	if _, err := y.Claim(context.Background(), f); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) finish(f attune.Fence, status attune.Status) {
	y.t.Helper()
	if _, err := y.Finish(context.Background(), f, attune.Outcome{Status: status}, nil); err != nil {
		y.t.Fatal(err)
	}
}

func next(t *testing.T, placed <-chan attune.Fence) attune.Fence {
	t.Helper()
	select {
	case f := <-placed:
		return f
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was placed")
		return attune.Fence{}
	}
}

var errNoAnswer = errors.New("no answer")
