package scheduler

import (
	"context"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// rescuer returns the chore that ends what lost workers held. Silence is judged by the database's clock, and only
// after this process has itself seen the database for a whole lease: an outage must not look like many deaths.
func (s *Scheduler) rescuer() func(context.Context) error {
	var seen watch
	return func(ctx context.Context) error {
		workers, err := s.suspects(ctx, &seen)
		if err != nil {
			return err
		}
		for _, w := range workers {
			if err := s.judge(ctx, w, time.Since(seen.since)); err != nil {
				return err
			}
		}
		return nil
	}
}

// watch is since when this process has seen the database, without a gap.
type watch struct {
	since  time.Time
	looked time.Time // the last time
	at     time.Time // and what the database's clock said then
}

// look notes that the database was seen. A gap is also a time in which nobody looked: a host that was frozen with all
// of its processes, or a clock that was set, makes every lease look as if it were over.
func (w *watch) look(now, at time.Time, gap time.Duration) {
	passed := at.Sub(w.at)
	if w.since.IsZero() || now.Sub(w.looked) > gap || passed > gap || passed < -gap {
		w.since = now
	}
	w.looked, w.at = now, at
}

// suspects returns the workers to be looked at. Where leases tell, one statement shows that there are none.
func (s *Scheduler) suspects(ctx context.Context, seen *watch) ([]store.WorkerRow, error) {
	if s.cfg.Bury != nil {
		return s.cfg.Store.Read().Workers(ctx)
	}
	silent, at, err := s.cfg.Store.Read().AnySilent(ctx)
	if err != nil {
		*seen = watch{}
		return nil, err
	}
	seen.look(time.Now(), at, 2*s.cfg.RescueInterval+time.Second)
	if !silent {
		return nil, nil
	}
	return s.cfg.Store.Read().Workers(ctx)
}

// judge rescues what a worker holds if it is dead.
func (s *Scheduler) judge(ctx context.Context, w store.WorkerRow, seen time.Duration) error {
	dead, err := s.dead(ctx, w, seen)
	if err != nil || !dead {
		return err
	}
	return s.rescue(ctx, w)
}

// dead tells whether the worker can't be running any more, although its row says so or rows are still with it.
func (s *Scheduler) dead(ctx context.Context, w store.WorkerRow, seen time.Duration) (bool, error) {
	settled := w.Status != attune.WorkerActive
	if settled && w.SlotsUsed == 0 && !w.Exclusive {
		return false, nil // dead or not, nothing is with it and its status stays
	}
	if s.cfg.Bury == nil {
		return w.Lapsed && seen >= w.Lease, nil
	}
	if dead, err := s.cfg.Bury(ctx, w); err != nil || !dead {
		return false, err
	}
	// It may have ended in good order, or started again, since its row was read.
	now, err := s.cfg.Store.Read().Worker(ctx, w.ID)
	if attune.ErrorCode(err) == attune.CodeNotFound {
		return false, nil
	}
	return now.Incarnation == w.Incarnation, err
}

// rescue ends what a dead worker held. It is marked first, so that nothing more is placed on it; what it holds is read
// before that, because one that is only silent may be heard again at any moment, and then takes more.
func (s *Scheduler) rescue(ctx context.Context, w store.WorkerRow) error {
	held, err := s.cfg.Executions.Held(ctx, w.ID, w.Incarnation)
	if err != nil {
		return err
	}
	lost := false
	err = s.cfg.Store.Single(ctx, func(q *store.Queries) (err error) {
		lost, err = q.MarkWorkerLost(ctx, w.ID, w.Incarnation, s.cfg.Bury == nil)
		return err
	})
	if err != nil || !lost {
		return err
	}
	n, err := s.cfg.Executions.LoseThese(ctx, held, "worker "+w.Name+" was lost while it ran this", nil)
	if err != nil {
		return err
	}
	s.log.Warn("worker lost", "worker", w.Name, "incarnation", w.Incarnation, "abandoned", n)
	if !w.Exclusive {
		return nil
	}
	if err := s.cfg.Executions.CancelPinned(ctx, w.ID); err != nil {
		return err
	}
	return s.cfg.Store.Write(ctx, func(q *store.Queries) error { return q.DeleteWorker(ctx, w.ID) })
}
