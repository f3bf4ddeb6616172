package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/store"
)

// prefetchExtra is how many messages beyond the slots are on their way, so that a freed slot need not wait for one.
const prefetchExtra = 2

// consume takes what messages say was placed here. A message is acknowledged when the claim is certain, and not held
// while the execution runs: brokers close the connections of consumers that hold a delivery for long.
func (w *Worker) consume(ctx, work context.Context) error {
	queue := broker.WorkerQueue(w.id, w.cfg.Slots+prefetchExtra)
	w.count(&queue, func() { w.ready(ctx, work) })
	return w.deps.Broker.Consume(ctx, queue, func(ctx context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			w.log.Error("message rejected", "queue", queue.Queue, "error", err)
			return
		}
		m, ok := envelope.Payload.(broker.ExecutionScheduled)
		if !ok {
			w.acknowledge(d)
			return
		}
		fence := attune.Fence{ExecutionID: m.ExecutionID, Attempt: m.Attempt, WorkerID: m.WorkerID, Incarnation: m.Incarnation}
		w.take(ctx, work, fence, func() { w.acknowledge(d) })
	})
}

// queues is how many queues a worker has.
const queues = 2

// count keeps count of the queues that bring messages; ready is called each time this one does again.
func (w *Worker) count(queue *broker.Subscription, ready func()) {
	bound := false // Ready and Lost are called by one goroutine
	queue.Ready = func() {
		if !bound {
			bound = true
			w.consuming.Add(1)
		}
		ready()
	}
	queue.Lost = func() {
		if bound {
			bound = false
			w.consuming.Add(-1)
		}
	}
}

func (w *Worker) acknowledge(d broker.Delivery) {
	if err := d.Ack(); err != nil {
		w.log.Debug("delivery not acknowledged, it comes again", "error", err)
	}
}

// take reserves a slot for an attempt, claims it and runs it, on a goroutine of its own: claims of several go to the
// database at once. What has no slot is given back, and all that comes while the host is short of something. certain is called when the message is no longer needed.
func (w *Worker) take(ctx, work context.Context, f attune.Fence, certain func()) {
	if f.WorkerID != w.id || f.Incarnation != w.incarnation {
		if f.WorkerID == w.id && f.Incarnation < w.incarnation {
			w.giveBack(ctx, f) // placed while this life began; usually its row has gone back already
		}
		certain()
		return
	}
	if len(w.short()) > 0 { // placed before the row said so
		w.giveBack(ctx, f)
		certain()
		return
	}
	running, cancel := context.WithCancelCause(work)
	hurry := make(chan struct{})
	switch w.slots.reserve(f, cancel, sync.OnceFunc(func() { close(hurry) })) {
	case known:
		cancel(nil)
		certain()
		return
	case full:
		cancel(nil)
		w.giveBack(ctx, f)
		certain()
		return
	case reserved:
	}
	w.running.Go(func() {
		defer cancel(nil)
		defer w.slots.free(f)
		if assignment, ok := w.claim(ctx, f, certain); ok {
			again := retriedWhenLost(assignment)
			w.slots.claimed(f, again)
			if again && w.lapsing() {
				cancel(errLapsed) // its answer was so late that another worker may have it: it does not begin
			}
			w.run(running, assignment, hurry)
		}
	})
}

// claimTime bounds one try of a claim.
const claimTime = 15 * time.Second

// claim claims an attempt into its slot, again and again until the answer is certain: one that was claimed without our
// knowledge would be nobody's. The message is not held for so long, and a try that was begun is not broken off when the
// worker is to end: what it claims is run.
func (w *Worker) claim(ctx context.Context, f attune.Fence, certain func()) (a execution.Assignment, ok bool) {
	for try := 1; ; try++ {
		a, err := w.tryClaim(ctx, f)
		if try == 1 {
			certain()
		}
		switch {
		case err == nil:
			w.failing.claim.Over("claims are answered again")
			return a, true
		case attune.ErrorCode(err) == attune.CodeStale || attune.ErrorCode(err) == attune.CodeNotFound:
			w.failing.claim.Over("claims are answered again")
			return a, false
		case ctx.Err() != nil:
			return a, false // what the row says then, the worker's end sees to
		case !errors.Is(err, store.ErrUnavailable):
			w.log.Error("claim failed, its row is given back by the sweep", "execution", f.ExecutionID, "error", err)
			return a, false
		}
		w.failing.claim.Warn("claim not certain, it is repeated", err, "execution", f.ExecutionID)
		select {
		case <-ctx.Done():
		case <-time.After(jitter(retryPause)):
		}
	}
}

func (w *Worker) tryClaim(ctx context.Context, f attune.Fence) (execution.Assignment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	return w.deps.Executions.Claim(ctx, f)
}

// retriedWhenLost tells whether an attempt goes to another worker if this one is lost.
func retriedWhenLost(a execution.Assignment) bool {
	_, again := a.Action.Retry.After(a.Attempt, attune.StatusAbandoned)
	return again
}

func (w *Worker) giveBack(ctx context.Context, f attune.Fence) {
	ctx, cancel := context.WithTimeout(ctx, store.LoopPatience)
	defer cancel()
	if err := w.deps.Executions.Release(ctx, f); err != nil {
		w.log.Warn("not taken, and not given back: the sweep does it", "execution", f.ExecutionID, "error", err)
	}
}

// errCancelled is why an attempt ends when somebody asked for it.
var errCancelled = errors.New("cancelled")

// control ends what messages say was cancelled. It goes on while the worker shuts down.
func (w *Worker) control(ctx context.Context) error {
	queue := broker.WorkerControlQueue(w.id, w.cfg.Slots+prefetchExtra)
	w.count(&queue, func() {})
	return w.deps.Broker.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			w.log.Error("message rejected", "queue", queue.Queue, "error", err)
			return
		}
		if m, ok := envelope.Payload.(broker.ExecutionCancelRequested); ok {
			w.slots.end(w.fence(m.ExecutionID, m.Attempt), errCancelled)
		}
		w.acknowledge(d)
	})
}

func (w *Worker) fence(id int64, attempt int) attune.Fence {
	return attune.Fence{ExecutionID: id, Attempt: attempt, WorkerID: w.id, Incarnation: w.incarnation}
}

// poll does without messages what they do sooner: it takes what was placed here and ends what was cancelled.
func (w *Worker) poll(ctx, work context.Context) error {
	every(ctx, poll, func() {
		w.cfg.Progress()
		if !w.cfg.Leased || w.consuming.Load() < queues || w.behind.Load() {
			w.caughtUp(ctx, w.readRows(ctx, work))
		}
	})
	return nil
}

// every does something now and then, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		do()
	}
}

// caughtUp notes how reading the worker's own rows went.
func (w *Worker) caughtUp(ctx context.Context, err error) {
	w.behind.Store(err != nil)
	if err == nil {
		w.failing.rows.Over("what was placed here can be read again")
	} else if ctx.Err() == nil {
		w.failing.rows.Warn("can't read what was placed here, it is repeated", err)
	}
}

func (w *Worker) heldBy(ctx context.Context, status attune.Status) ([]store.ExecutionRow, error) {
	ctx, cancel := context.WithTimeout(ctx, store.LoopPatience)
	defer cancel()
	return w.deps.Store.Read().HeldBy(ctx, w.id, status)
}

func (w *Worker) readRows(ctx, work context.Context) error {
	scheduled, err := w.heldBy(ctx, attune.StatusScheduled)
	if err != nil {
		return err
	}
	for _, row := range scheduled {
		w.take(ctx, work, row.Fence(), func() {})
	}
	return w.endCancelled(ctx)
}

// endCancelled ends what is being cancelled: here by a signal, or in the table alone if it does not run here at all.
func (w *Worker) endCancelled(ctx context.Context) error {
	canceling, err := w.heldBy(ctx, attune.StatusCanceling)
	if err != nil {
		return err
	}
	for _, row := range canceling {
		if !w.slots.end(row.Fence(), errCancelled) && !w.spool.holds(row.Fence()) {
			w.abandon(ctx, row.Fence())
		}
	}
	return nil
}
