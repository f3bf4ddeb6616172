package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/store"
)

const (
	retainBatch = 500
	pruneAge    = time.Hour // a submission takes milliseconds between its steps
)

// retain removes artifact rows, with what the artifact store has of them, and lines of the audit log past their retention,
// and versions of actions and packs that nothing refers to any more, batch by batch, so that others get their turn to
// write. Workers remove the files. An artifact store that is away delays what it has, and nothing else.
func (s *Scheduler) retain(ctx context.Context) error {
	var away error
	if s.cfg.Retention > 0 {
		err := inBatches(retainBatch, func() (int64, error) { return s.expire(ctx, s.cfg.Objects != nil) })
		if errors.Is(err, objects.ErrAway) {
			away = err
			err = inBatches(retainBatch, func() (int64, error) { return s.expire(ctx, false) })
		}
		if err != nil {
			return err
		}
	}
	if s.cfg.AuditRetention > 0 {
		err := inBatches(1, func() (int64, error) { // young ones may be among those that are looked at
			return s.remove(ctx, func(q *store.Queries) (int64, error) { return q.ExpireAudit(ctx, s.cfg.AuditRetention, retainBatch) })
		})
		if err != nil {
			return errors.Join(away, err)
		}
	}
	return errors.Join(away, inBatches(retainBatch, func() (int64, error) {
		return s.remove(ctx, func(q *store.Queries) (int64, error) { return q.Prune(ctx, pruneAge, retainBatch) })
	}))
}

// remove makes a removal in a transaction of its own.
func (s *Scheduler) remove(ctx context.Context, removal func(*store.Queries) (int64, error)) (removed int64, err error) {
	err = s.cfg.Store.Write(ctx, func(q *store.Queries) (err error) {
		removed, err = removal(q)
		return err
	})
	return removed, err
}

// expire removes a batch of artifacts past their retention: first the objects, so that a row tells of each of them until
// it is gone. Without stored, those are left alone that have one.
func (s *Scheduler) expire(ctx context.Context, stored bool) (removed int64, err error) {
	expired, err := s.cfg.Store.Read().ExpiredArtifacts(ctx, s.cfg.Retention, stored, retainBatch)
	if err != nil || len(expired) == 0 {
		return 0, err
	}
	var keys []string
	for _, a := range expired {
		if a.Location == store.LocationStored && a.Bytes > 0 {
			keys = append(keys, artifact.Key(a.Worker, a.ExecutionID, a.Attempt, a.Name))
		}
	}
	if len(keys) > 0 {
		if err := s.cfg.Objects.Delete(ctx, keys...); err != nil {
			return 0, err
		}
	}
	return s.remove(ctx, func(q *store.Queries) (int64, error) { return q.DeleteArtifacts(ctx, expired) })
}

// inBatches repeats a removal until it finds less than least.
func inBatches(least int64, remove func() (int64, error)) error {
	for removed := least; removed >= least; {
		var err error
		if removed, err = remove(); err != nil {
			return err
		}
	}
	return nil
}
