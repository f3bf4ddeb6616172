package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// start makes the worker ready: what an earlier life had to tell is delivered, processes of it end, then it registers,
// and only then is what is still running in the table abandoned, because nothing of it can be alive.
func (w *Worker) start(ctx context.Context) error {
	if err := w.spool.load(); err != nil {
		w.log.Error("the spool is incomplete", "error", err)
	}
	if err := w.emptySpool(ctx); err != nil {
		return err
	}
	if n, err := w.cfg.Home.endLeftovers(ctx, w.deps.Processes, w.log); err != nil {
		return fmt.Errorf("end leftover processes: %w", err)
	} else if n > 0 {
		w.log.Warn("ended what an earlier life had left running", "executions", n)
	}
	if err := w.guard(ctx); err != nil {
		return err
	}
	if err := w.tellLacking(); err != nil {
		return fmt.Errorf("limits of executions: %w", err)
	}
	w.findKeys()
	if err := w.deps.Runtimes.SetUp(ctx); err != nil {
		return fmt.Errorf("set up the runtimes: %w", err)
	}
	w.lookAtHost(ctx, func(context.Context, []attune.Shortage) error { return nil }) // registering tells of it
	if err := w.patiently(ctx, w.register); err != nil {
		return err
	}
	if err := w.deps.Artifacts.DropHeld(); err != nil {
		w.log.Error("files that were added to what an earlier life ran are left, unmasked", "error", err)
	}
	if err := w.patiently(ctx, w.loseEarlier); err != nil {
		return fmt.Errorf("abandon what an earlier life ran: %w", err)
	}
	if err := w.patiently(ctx, w.listEarlier); err != nil {
		return fmt.Errorf("list what an earlier life has left: %w", err)
	}
	w.log.Debug("registered", "id", w.id, "incarnation", w.incarnation, "slots", w.cfg.Slots)
	return nil
}

// patiently repeats a step of the start that a server's database did not take: it may go away at any moment.
func (w *Worker) patiently(ctx context.Context, step func(context.Context) error) error {
	away := outage.New(w.log)
	for {
		err := step(ctx)
		if !w.cfg.Leased || !errors.Is(err, store.ErrUnavailable) {
			away.Over("the database is back, the start goes on")
			return err
		}
		away.Warn("the database is away, the start waits for it", err)
		w.cfg.Progress()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(jitter(retryPause)):
		}
	}
}

func (w *Worker) loseEarlier(ctx context.Context) error {
	n, err := w.deps.Executions.Lose(ctx, w.id, w.incarnation-1, w.stoppedMidway(), w.remains)
	if n > 0 {
		w.log.Warn("abandoned what an earlier life ran", "executions", n)
	}
	return err
}

func (w *Worker) stoppedMidway() string { return "worker " + w.cfg.Name + " stopped while it ran this" }

// listEarlier lists what earlier lives have left of attempts that a server has abandoned since: it could not see their
// files.
func (w *Worker) listEarlier(ctx context.Context) error {
	left, err := w.ledger.entries()
	if err != nil {
		w.log.Error("what attempts of an earlier life have left may not all be listed", "error", err)
	}
	for _, e := range left {
		err := w.list(ctx, e)
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			w.log.Error("what an attempt of an earlier life has left is not listed, the next start tries again",
				"execution", e.ExecutionID, "attempt", e.Attempt, "error", err)
			continue
		}
		w.strike(e.Fence)
	}
	return nil
}

// list abandons an attempt of an earlier life once more, with what it has left. One that ended otherwise was told with
// that; of one that is deleted, or whose files are about to be, nobody need hear.
func (w *Worker) list(ctx context.Context, e entry) error {
	if w.cfg.Retention > 0 && time.Since(e.begun) > w.cfg.Retention {
		return nil
	}
	_, err := w.deps.Executions.Abandon(ctx, e.Fence, w.stoppedMidway(), w.remains)
	switch attune.ErrorCode(err) {
	case attune.CodeStale, attune.CodeNotFound:
		return nil
	}
	return err
}

func (w *Worker) strike(f attune.Fence) {
	if err := w.ledger.strike(f); err != nil { // listing it again changes nothing
		w.log.Warn("an attempt that is told stays in the ledger until the next start", "execution", f.ExecutionID, "error", err)
	}
}

// ready is called each time the worker's queue is bound. Until then a placement found no queue: the worker may have
// been passed over for it, and may have missed others.
func (w *Worker) ready(ctx, work context.Context) {
	w.closeRegistered()
	w.caughtUp(ctx, w.catchUp(ctx, work))
}

func (w *Worker) catchUp(ctx, work context.Context) error {
	row, err := w.deps.Store.Read().Worker(ctx, w.id)
	if err != nil {
		return err
	}
	if row.PassedOver {
		err = w.deps.Store.Write(ctx, func(q *store.Queries) error { return q.SetPassedOver(ctx, w.id, w.incarnation, false) })
		if err != nil {
			return err
		}
	}
	return w.readRows(ctx, work)
}

// register takes the worker's row. One that another process holds by its lease, on another host or another data
// directory, is waited for until it has left, or was silent for as long as its lease.
func (w *Worker) register(ctx context.Context) error {
	home, err := w.cfg.Home.identity()
	if err != nil {
		return err
	}
	look := time.NewTicker(jitter(time.Second))
	defer look.Stop()
	for said := false; ; {
		holder, err := w.tryRegister(ctx, home)
		if err != nil || w.incarnation != 0 {
			return err
		}
		if holder == nil {
			continue // a namesake has registered in this moment: the next look finds it
		}
		if !said {
			w.log.Warn("another process is this worker: waiting until it has left, or its lease is over",
				"host", holder.Host, "incarnation", holder.Incarnation, "lease", holder.Lease)
			said = true
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
	}
}

// tryRegister registers, or returns who holds the row; neither if somebody else has registered meanwhile.
func (w *Worker) tryRegister(ctx context.Context, home string) (holder *store.WorkerRow, err error) {
	begun := time.Now()
	err = w.deps.Store.Write(ctx, func(q *store.Queries) error {
		holder, w.id, w.incarnation = nil, 0, 0 // what an earlier try wrote may not have been committed
		row, err := q.WorkerByName(ctx, w.cfg.Name)
		switch {
		case attune.ErrorCode(err) == attune.CodeNotFound:
		case err != nil:
			return err
		case w.cfg.Leased && row.Home != home && row.Alive():
			holder = &row
			return nil
		}
		w.id, w.incarnation, err = q.RegisterWorker(ctx, store.Registration{
			Name: w.cfg.Name, Type: w.cfg.Type, Host: w.cfg.Host, Labels: w.cfg.Labels, Slots: w.cfg.Slots,
			Exclusive: w.cfg.Exclusive, Lease: w.lease(), Runtimes: w.capabilities(), Home: home,
			ShortOf: w.short(), Seen: row.Incarnation,
		})
		return err
	})
	w.renewed.Store(&begun)
	return holder, err
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

// leaveTime is how long a server's database has to take note that the worker leaves.
const leaveTime = 8 * time.Second

// leave deregisters a worker that has nothing left to run. What it was still to claim goes back; an exclusive worker,
// which is nobody's once its command ends, takes its row and its home with it. While the database is away nobody can be
// told: the lease ends by itself. Who still has results to tell keeps its row, so that the next start can.
func (w *Worker) leave(ctx context.Context) error {
	if w.spool.size() > 0 {
		return nil
	}
	if w.cfg.Leased { // else, the database is a file that answers in its own time
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, leaveTime)
		defer cancel()
	}
	err := w.deregister(ctx)
	if errors.Is(err, store.ErrUnavailable) && w.cfg.Leased {
		w.log.Warn("not deregistered, the lease ends by itself", "error", err)
		return nil
	}
	return err
}

func (w *Worker) deregister(ctx context.Context) error {
	// First, so that nothing more is placed here.
	err := w.deps.Store.Write(ctx, func(q *store.Queries) error { return q.Deregister(ctx, w.id, w.incarnation) })
	if err != nil {
		return err
	}
	if _, err := w.deps.Executions.Lose(ctx, w.id, w.incarnation, errShutdown.Error(), w.remains); err != nil {
		return fmt.Errorf("give back what worker %s holds: %w", w.cfg.Name, err)
	}
	if !w.cfg.Exclusive {
		return nil
	}
	return bury(ctx, w.deps, store.WorkerRow{Worker: attune.Worker{ID: w.id, Name: w.cfg.Name}}, w.cfg.Home)
}
