package worker

import (
	"context"
	"slices"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// heartbeat renews the lease until ctx ends. A database that does not answer is waited for: a late heartbeat is not a
// death. When another incarnation has the row, or the worker was drained, it stops the taking of more.
func (w *Worker) heartbeat(ctx context.Context, stopTaking context.CancelCauseFunc) error {
	ticker := time.NewTicker(w.cfg.Heartbeat)
	defer ticker.Stop()
	draining := time.NewTicker(poll)
	defer draining.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := w.beat(ctx, stopTaking); err != nil && ctx.Err() == nil {
				w.log.Warn("heartbeat failed, it is repeated", "error", err)
			}
		case <-draining.C:
			if err := w.checkDrain(ctx, stopTaking); err != nil && ctx.Err() == nil {
				w.log.Warn("can't read the worker's own row, it is repeated", "error", err)
			}
		}
	}
}

func (w *Worker) beat(ctx context.Context, stopTaking context.CancelCauseFunc) error {
	if err := w.refresh(ctx); err != nil {
		return err
	}
	mine := true
	err := w.deps.Store.Write(ctx, func(q *store.Queries) (err error) {
		_, mine, err = q.Heartbeat(ctx, w.id, w.incarnation, leaseIntervals*w.cfg.Heartbeat)
		return err
	})
	if err != nil {
		return err
	}
	if !mine {
		stopTaking(ErrSuperseded)
		return nil
	}
	return w.abandonUnknown(ctx)
}

// checkDrain ends the taking when the row says draining and nothing runs any more.
func (w *Worker) checkDrain(ctx context.Context, stopTaking context.CancelCauseFunc) error {
	row, err := w.deps.Store.Read().Worker(ctx, w.id)
	if err != nil {
		return err
	}
	if row.Status == attune.WorkerDraining && row.SlotsUsed == 0 && w.slots.used() == 0 {
		stopTaking(ErrDrained)
	}
	return nil
}

// refresh looks again for what the worker can run, and stores it if it has changed.
func (w *Worker) refresh(ctx context.Context) error {
	before := w.capabilities()
	if err := w.deps.Runtimes.SetUp(ctx); err != nil {
		return err
	}
	now := w.capabilities()
	if slices.Equal(before, now) {
		return nil
	}
	w.log.Info("capabilities changed", "runtimes", now)
	return w.deps.Store.Write(ctx, func(q *store.Queries) error { return q.SetRuntimes(ctx, w.id, now) })
}
