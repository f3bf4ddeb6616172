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
	var seenSince time.Time
	return func(ctx context.Context) error {
		workers, err := s.suspects(ctx)
		if err != nil {
			seenSince = time.Time{}
			return err
		}
		if seenSince.IsZero() {
			seenSince = time.Now()
		}
		for _, w := range workers {
			dead, err := s.dead(ctx, w, time.Since(seenSince))
			if err != nil {
				return err
			}
			if dead {
				if err := s.rescue(ctx, w); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// suspects returns the workers to be looked at. Where leases tell, one statement shows that there are none.
func (s *Scheduler) suspects(ctx context.Context) ([]store.WorkerRow, error) {
	if s.cfg.Bury == nil {
		silent, err := s.cfg.Store.Read().AnySilent(ctx)
		if err != nil || !silent {
			return nil, err
		}
	}
	return s.cfg.Store.Read().Workers(ctx)
}

// dead tells whether the worker can't be running any more, although its row says so or rows are still with it.
func (s *Scheduler) dead(ctx context.Context, w store.WorkerRow, seen time.Duration) (bool, error) {
	settled := w.Status == attune.WorkerInactive || w.Status == attune.WorkerLost || w.Status == attune.WorkerCordoned
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

// rescue ends what a dead worker held. It is marked first, so that nothing more is placed on it meanwhile.
func (s *Scheduler) rescue(ctx context.Context, w store.WorkerRow) error {
	err := s.cfg.Store.Write(ctx, func(q *store.Queries) error { return q.MarkWorkerLost(ctx, w.ID, w.Incarnation) })
	if err != nil {
		return err
	}
	n, err := s.cfg.Executions.Lose(ctx, w.ID, w.Incarnation, "worker "+w.Name+" was lost while it ran this", nil)
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
