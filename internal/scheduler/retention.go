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

// retain removes artifact rows past their retention, and versions of actions and packs that nothing refers to any
// more. Workers remove the files.
func (s *Scheduler) retain(ctx context.Context) error {
	return s.cfg.Store.Write(ctx, func(q *store.Queries) error {
		if s.cfg.Retention > 0 {
			if _, err := q.ExpireArtifacts(ctx, s.cfg.Retention, retainBatch); err != nil {
				return err
			}
		}
		_, err := q.Prune(ctx, pruneAge, retainBatch)
		return err
	})
}
