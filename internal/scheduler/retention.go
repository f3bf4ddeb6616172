package scheduler

import (
	"context"
	"time"

	"github.com/attune-automation/attune/internal/store"
)

const (
	retainBatch = 500
	pruneAge    = time.Hour // a submission takes milliseconds between its steps
)

// retain removes artifact rows and lines of the audit log past their retention, and versions of actions and packs that nothing refers to any
// more, batch by batch, so that others get their turn to write. Workers remove the files.
func (s *Scheduler) retain(ctx context.Context) error {
	if s.cfg.Retention > 0 {
		err := s.inBatches(ctx, retainBatch, func(q *store.Queries) (int64, error) {
			return q.ExpireArtifacts(ctx, s.cfg.Retention, retainBatch)
		})
		if err != nil {
			return err
		}
	}
	if s.cfg.AuditRetention > 0 {
		err := s.inBatches(ctx, 1, func(q *store.Queries) (int64, error) { // young ones may be among those that are looked at
			return q.ExpireAudit(ctx, s.cfg.AuditRetention, retainBatch)
		})
		if err != nil {
			return err
		}
	}
	return s.inBatches(ctx, retainBatch, func(q *store.Queries) (int64, error) { return q.Prune(ctx, pruneAge, retainBatch) })
}

// inBatches repeats a removal until it finds less than least.
func (s *Scheduler) inBatches(ctx context.Context, least int64, remove func(*store.Queries) (int64, error)) error {
	for removed := least; removed >= least; {
		err := s.cfg.Store.Write(ctx, func(q *store.Queries) (err error) {
			removed, err = remove(q)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
