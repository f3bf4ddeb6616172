package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// beatTime bounds one heartbeat: a database that takes the question and never answers may well answer on another
// connection.
const beatTime = 10 * time.Second

// heartbeat renews the lease until ctx ends, soon again if it failed. A database that does not answer is waited for: a
// late heartbeat is not a death. When another incarnation has the row, it stops the taking of more.
func (w *Worker) heartbeat(ctx context.Context, stopTaking context.CancelCauseFunc) error {
	timer := time.NewTimer(w.cfg.Heartbeat)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		pause := w.cfg.Heartbeat
		if err := w.beat(ctx, stopTaking); err != nil {
			if ctx.Err() == nil {
				w.failing.heartbeat.Warn("heartbeat failed, it is repeated", err)
			}
			pause = min(jitter(retryPause), pause)
		} else {
			w.failing.heartbeat.Over("the heartbeat works again")
		}
		timer.Reset(pause)
		if err := w.refresh(ctx); err == nil {
			w.failing.refresh.Over("what this worker can run is known again")
		} else if ctx.Err() == nil {
			w.failing.refresh.Warn("what this worker can run is not known, it is looked up again", err)
		}
	}
}

// beat makes one statement if there is nothing to tell or to mend.
func (w *Worker) beat(ctx context.Context, stopTaking context.CancelCauseFunc) error {
	begun := time.Now()
	pulse, mine, err := w.renew(ctx)
	if err != nil {
		return err
	}
	if !mine {
		stopTaking(w.superseded(ctx))
		return nil
	}
	w.renewed.Store(&begun)
	switch pulse.Status {
	case attune.WorkerLost:
		return w.comeBack(ctx)
	case attune.WorkerDraining:
		w.drain()
	}
	if pulse.Held == 0 && w.slots.used() == 0 {
		return nil
	}
	return w.reconcile(ctx)
}

func (w *Worker) renew(ctx context.Context) (pulse store.Pulse, mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	err = w.deps.Store.Single(ctx, func(q *store.Queries) (err error) {
		pulse, mine, err = q.Heartbeat(ctx, w.id, w.incarnation, w.lease())
		return err
	})
	return pulse, mine, err
}

// comeBack makes a worker active again that was taken for lost while it was silent. What another worker may have been
// given meanwhile ends first, then whatever the table does not have here any more.
func (w *Worker) comeBack(ctx context.Context) error {
	ended := w.slots.endWhere(rerun, errLapsed)
	w.log.Warn("this worker was taken for lost while it was silent", "ended", len(ended))
	err := w.deps.Store.Single(ctx, func(q *store.Queries) error {
		_, err := q.SetWorkerStatus(ctx, w.id, attune.WorkerActive, attune.WorkerLost)
		return err
	})
	return errors.Join(err, w.reconcile(ctx))
}

// rerun tells of attempts that go to another worker if this one is lost.
func rerun(_ attune.Fence, s slot) bool { return s.running && s.again }

// lease is for how long the worker counts as alive after a heartbeat.
func (w *Worker) lease() time.Duration { return leaseIntervals * w.cfg.Heartbeat }

// superseded is why a worker ends whose row belongs to another incarnation.
func (w *Worker) superseded(ctx context.Context) error {
	now, err := w.deps.Store.Read().Worker(ctx, w.id)
	if attune.ErrorCode(err) == attune.CodeNotFound {
		return fmt.Errorf("%w: its row is gone", ErrSuperseded)
	}
	if err != nil {
		return fmt.Errorf("%w, and which one can't be read: %w", ErrSuperseded, err)
	}
	return fmt.Errorf("%w: worker %s is on host %s now, in its incarnation %d; this was %d",
		ErrSuperseded, w.cfg.Name, now.Host, now.Incarnation, w.incarnation)
}

// errLapsed is why an attempt ends whose row was given to somebody else, or may be.
var errLapsed = errors.New("the worker's lease is over")

// reconcile compares what runs here with what the table says runs here. What only the table knows is ended there; what
// only this worker knows is ended here: it was taken for lost while it was silent.
func (w *Worker) reconcile(ctx context.Context) error {
	here := w.slots.running() // first: what is claimed meanwhile is in both
	held := map[attune.Fence]bool{}
	for _, status := range []attune.Status{attune.StatusRunning, attune.StatusCanceling} {
		rows, err := w.deps.Store.Read().HeldBy(ctx, w.id, status)
		if err != nil {
			return err
		}
		for _, row := range rows {
			held[row.Fence()] = true
			switch {
			case w.slots.holds(row.Fence()): // first: the spool gets an ending before its slot is free
				if status == attune.StatusCanceling {
					w.slots.end(row.Fence(), errCancelled)
				}
			case !w.spool.holds(row.Fence()):
				w.abandon(ctx, row.Fence())
			}
		}
	}
	stale := w.slots.endWhere(func(f attune.Fence, _ slot) bool { return here[f] && !held[f] }, errLapsed)
	for _, f := range stale {
		w.log.Debug("ending an attempt that the table does not have here any more", "execution", f.ExecutionID, "attempt", f.Attempt)
	}
	return nil
}

func (w *Worker) abandon(ctx context.Context, f attune.Fence) {
	ctx, cancel := context.WithTimeout(ctx, store.LoopPatience)
	defer cancel()
	status, err := w.deps.Executions.Abandon(ctx, f, "worker "+w.cfg.Name+" does not know this attempt", w.remains)
	switch {
	case err == nil:
		w.failing.abandon.Over("attempts that do not run here can be ended again")
		w.log.Warn("ended in the table what does not run here", "execution", f.ExecutionID, "status", status)
	case attune.ErrorCode(err) == attune.CodeStale: // it has ended meanwhile, which is what we wanted
	default:
		w.failing.abandon.Warn("an attempt that does not run here can't be ended, it is repeated", err, "execution", f.ExecutionID)
	}
}

// leaseMargin is how long before the scheduler may give its attempts to others nothing of them is left here, at most.
const leaseMargin = 2 * time.Second

// keepLease ends what another worker would get, before it would, when the lease could not be renewed: early enough for
// its grace, but not before two heartbeats are late. What is left of a grace shortly before the lease ends is cut off.
// The clock is monotonic, and only this worker's: nobody else need agree with it.
func (w *Worker) keepLease(ctx context.Context) error {
	if !w.cfg.Leased {
		return nil
	}
	first, last := w.patience()
	said := false
	every(ctx, min(time.Second, w.cfg.Heartbeat/5), func() {
		silence := w.silence()
		if silence < first {
			said = false
			return
		}
		ended := w.slots.endWhere(rerun, errLapsed)
		if len(ended) > 0 && !said {
			w.log.Warn("the lease can't be renewed: ending what will run elsewhere", "executions", len(ended))
			said = true
		}
		if silence >= last {
			w.slots.hurryWhere(rerun)
		}
	})
	return nil
}

// patience is for how long the lease may not be renewed before what another worker would get is told to end, and before
// nothing of it may be left.
func (w *Worker) patience() (first, last time.Duration) {
	last = w.lease() - min(leaseMargin, w.cfg.Heartbeat/2)
	return max(last-w.cfg.KillGrace, 2*w.cfg.Heartbeat), last
}

// lapsing tells whether the lease may be over before an attempt could be ended that begins now.
func (w *Worker) lapsing() bool {
	first, _ := w.patience()
	return w.cfg.Leased && w.silence() >= first
}

// silence is how long ago the lease was renewed.
func (w *Worker) silence() time.Duration { return time.Since(*w.renewed.Load()) }

// drain lets the worker end when nothing runs any more.
func (w *Worker) drain() { w.drained.Do(func() { close(w.draining) }) }

// awaitDrained ends the taking of more when the worker drains and its last slot is free.
func (w *Worker) awaitDrained(ctx context.Context, stopTaking context.CancelCauseFunc) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.draining:
	}
	for w.slots.used() > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-w.slots.freed:
		}
	}
	stopTaking(ErrDrained)
	return nil
}

// watchDrain looks for the request to drain where no server is asked too often by it.
func (w *Worker) watchDrain(ctx context.Context) error {
	if w.cfg.Leased {
		return nil // the heartbeat's answer tells
	}
	reading := outage.New(w.log)
	every(ctx, poll, func() {
		row, err := w.deps.Store.Read().Worker(ctx, w.id)
		if err != nil {
			if ctx.Err() == nil {
				reading.Warn("can't read the worker's own row, it is repeated", err)
			}
			return
		}
		reading.Over("the worker's own row can be read again")
		if row.Status == attune.WorkerDraining {
			w.drain()
		}
	})
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
	return w.deps.Store.Write(ctx, func(q *store.Queries) error { return q.SetRuntimes(ctx, w.id, w.incarnation, now) })
}
