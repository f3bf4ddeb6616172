package worker

import (
	"context"
	"errors"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
)

// prefetchExtra is how many messages beyond the slots are on their way, so that a freed slot need not wait for one.
const prefetchExtra = 2

// consume takes what messages say was placed here. A message is acknowledged when the claim is certain, and not held
// while the execution runs: brokers close the connections of consumers that hold a delivery for long.
func (w *Worker) consume(ctx, work context.Context) error {
	queue := broker.WorkerQueue(w.id, w.cfg.Slots+prefetchExtra)
	queue.Ready = func() { w.ready(ctx, work) }
	return w.deps.Broker.Consume(ctx, queue, func(ctx context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			w.log.Error("message rejected", "queue", queue.Queue, "error", err)
			return
		}
		if m, ok := envelope.Payload.(broker.ExecutionScheduled); ok {
			w.take(ctx, work, attune.Fence{
				ExecutionID: m.ExecutionID, Attempt: m.Attempt, WorkerID: m.WorkerID, Incarnation: m.Incarnation,
			})
		}
		w.acknowledge(d)
	})
}

func (w *Worker) acknowledge(d broker.Delivery) {
	if err := d.Ack(); err != nil {
		w.log.Debug("delivery not acknowledged, it comes again", "error", err)
	}
}

// take claims an attempt into a free slot and runs it. What can't be had now is given back or left to the poll.
func (w *Worker) take(ctx, work context.Context, f attune.Fence) {
	if f.WorkerID != w.id || f.Incarnation != w.incarnation {
		return // meant for an earlier life; its row has gone back
	}
	running, cancel := context.WithCancelCause(work)
	switch w.slots.reserve(f, cancel) {
	case known:
		cancel(nil)
		return
	case full:
		cancel(nil)
		w.giveBack(ctx, f)
		return
	case reserved:
	}
	assignment, err := w.deps.Executions.Claim(ctx, f)
	if err != nil {
		w.slots.free(f)
		cancel(nil)
		if attune.ErrorCode(err) != attune.CodeStale && ctx.Err() == nil {
			w.log.Warn("claim failed, the poll repeats it", "execution", f.ExecutionID, "error", err)
		}
		return
	}
	w.running.Go(func() {
		defer cancel(nil)
		defer w.slots.free(f)
		w.run(running, assignment)
	})
}

func (w *Worker) giveBack(ctx context.Context, f attune.Fence) {
	if err := w.deps.Executions.Release(ctx, f); err != nil {
		w.log.Warn("no free slot, and not given back: the sweep does it", "execution", f.ExecutionID, "error", err)
	}
}

// errCancelled is why an attempt ends when somebody asked for it.
var errCancelled = errors.New("cancelled")

// control ends what messages say was cancelled. It goes on while the worker shuts down.
func (w *Worker) control(ctx context.Context) error {
	queue := broker.WorkerControlQueue(w.id, w.cfg.Slots+prefetchExtra)
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
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := w.readRows(ctx, work); err != nil && ctx.Err() == nil {
			w.log.Warn("can't read what was placed here, it is repeated", "error", err)
		}
	}
}

func (w *Worker) readRows(ctx, work context.Context) error {
	scheduled, err := w.deps.Store.Read().HeldBy(ctx, w.id, attune.StatusScheduled)
	if err != nil {
		return err
	}
	for _, row := range scheduled {
		w.take(ctx, work, row.Fence())
	}
	return w.endCancelled(ctx)
}

// endCancelled ends what is being cancelled: here by a signal, or in the table alone if it does not run here at all.
func (w *Worker) endCancelled(ctx context.Context) error {
	canceling, err := w.deps.Store.Read().HeldBy(ctx, w.id, attune.StatusCanceling)
	if err != nil {
		return err
	}
	for _, row := range canceling {
		if !w.slots.end(row.Fence(), errCancelled) {
			w.abandon(ctx, row.Fence())
		}
	}
	return nil
}

// abandonUnknown ends in the table what it says runs here and does not.
func (w *Worker) abandonUnknown(ctx context.Context) error {
	running, err := w.deps.Store.Read().HeldBy(ctx, w.id, attune.StatusRunning)
	if err != nil {
		return err
	}
	for _, row := range running {
		if !w.slots.holds(row.Fence()) {
			w.abandon(ctx, row.Fence())
		}
	}
	return nil
}

func (w *Worker) abandon(ctx context.Context, f attune.Fence) {
	status, err := w.deps.Executions.Abandon(ctx, f, "worker "+w.cfg.Name+" does not know this attempt")
	if err != nil && attune.ErrorCode(err) != attune.CodeStale {
		w.log.Warn("an attempt that does not run here can't be ended, it is repeated", "execution", f.ExecutionID, "error", err)
		return
	}
	w.log.Warn("ended in the table what does not run here", "execution", f.ExecutionID, "status", status)
}
