package worker

import (
	"context"
	"fmt"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// start makes the worker ready: processes of its earlier life end first, then it registers, and only then is what is
// still running in the table abandoned, because nothing of it can be alive.
func (w *Worker) start(ctx context.Context) error {
	if n, err := w.cfg.Home.endLeftovers(ctx, w.deps.Processes); err != nil {
		return fmt.Errorf("end leftover processes: %w", err)
	} else if n > 0 {
		w.log.Warn("ended what an earlier life had left running", "executions", n)
	}
	if err := w.deps.Runtimes.SetUp(ctx); err != nil {
		return fmt.Errorf("set up the runtimes: %w", err)
	}
	if err := w.register(ctx); err != nil {
		return err
	}
	n, err := w.deps.Executions.Lose(ctx, w.id, w.incarnation-1, "worker "+w.cfg.Name+" stopped while it ran this")
	if err != nil {
		return fmt.Errorf("abandon what an earlier life ran: %w", err)
	}
	if n > 0 {
		w.log.Warn("abandoned what an earlier life ran", "executions", n)
	}
	w.log.Debug("registered", "id", w.id, "incarnation", w.incarnation, "slots", w.cfg.Slots)
	return nil
}

// ready is called each time the worker's queue is bound. Until then a placement found no queue: the worker may have
// been passed over for it, and may have missed others.
func (w *Worker) ready(ctx, work context.Context) {
	w.bound.Do(func() { close(w.registered) })
	if err := w.catchUp(ctx, work); err != nil && ctx.Err() == nil {
		w.log.Warn("can't read what was placed here, the poll repeats it", "error", err)
	}
}

func (w *Worker) catchUp(ctx, work context.Context) error {
	row, err := w.deps.Store.Read().Worker(ctx, w.id)
	if err != nil {
		return err
	}
	if row.PassedOver {
		err = w.deps.Store.Write(ctx, func(q *store.Queries) error { return q.SetPassedOver(ctx, w.id, false) })
		if err != nil {
			return err
		}
	}
	return w.readRows(ctx, work)
}

func (w *Worker) register(ctx context.Context) error {
	return w.deps.Store.Write(ctx, func(q *store.Queries) (err error) {
		w.id, w.incarnation, err = q.RegisterWorker(ctx, store.Registration{
			Name: w.cfg.Name, Type: w.cfg.Type, Host: w.cfg.Host, Labels: w.cfg.Labels, Slots: w.cfg.Slots,
			Exclusive: w.cfg.Exclusive, Lease: leaseIntervals * w.cfg.Heartbeat, Runtimes: w.capabilities(),
		})
		return err
	})
}

// capabilities are the runtimes that the worker offers.
func (w *Worker) capabilities() []attune.Runtime {
	var offered []attune.Runtime
	for _, r := range w.deps.Runtimes.Capabilities() {
		if w.cfg.RuntimeID == "" || w.cfg.RuntimeID == r.Name {
			offered = append(offered, r)
		}
	}
	return offered
}

// leave deregisters a worker that has nothing left to run. What it was still to claim goes back; an exclusive worker,
// which is nobody's once its command ends, takes its row and its home with it.
func (w *Worker) leave(ctx context.Context) error {
	if _, err := w.deps.Executions.Lose(ctx, w.id, w.incarnation, errShutdown.Error()); err != nil {
		return fmt.Errorf("give back what worker %s holds: %w", w.cfg.Name, err)
	}
	if !w.cfg.Exclusive {
		return w.deps.Store.Write(ctx, func(q *store.Queries) error { return q.Deregister(ctx, w.id, w.incarnation) })
	}
	return bury(ctx, w.deps, store.WorkerRow{Worker: attune.Worker{ID: w.id, Name: w.cfg.Name}}, w.cfg.Home)
}
