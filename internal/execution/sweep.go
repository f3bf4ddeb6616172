package execution

import (
	"context"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// sweepBatch bounds what one sweep reads at a time.
const sweepBatch = 200

// Republish sends again the messages of executions that stay scheduled or canceling for longer than age: whoever
// should have got the first one may have missed it. Of several servers only one sends each.
func (s *Service) Republish(ctx context.Context, age time.Duration) (int, error) {
	var messages []broker.Message
	err := s.store.Write(ctx, func(q *store.Queries) error {
		messages = nil
		rows, err := q.TakeUnpublished(ctx, age, sweepBatch)
		for _, row := range rows {
			if row.Status == attune.StatusCanceling {
				messages = append(messages, cancelRequest(row))
			} else {
				messages = append(messages, scheduled(row.Fence()))
			}
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	s.publish(ctx, messages...)
	return len(messages), nil
}

// ReleaseUnclaimed gives back what its worker has not claimed for longer than age, and passes that worker over.
func (s *Service) ReleaseUnclaimed(ctx context.Context, age time.Duration) (int, error) {
	rows, err := s.store.Read().Unclaimed(ctx, age, sweepBatch)
	if err != nil {
		return 0, err
	}
	for i, row := range rows {
		s.log.Warn("placed but not claimed: given back, its worker is passed over", "execution", row.ID, "worker", deref(row.Worker))
		if err := s.PassOver(ctx, row.Fence()); err != nil {
			return i, err
		}
	}
	return len(rows), nil
}

// ReleaseOutlived gives back what was placed on a worker just as it ended: it is gone, or started again, and gave back
// before that what it knew of. Nobody else will claim it.
func (s *Service) ReleaseOutlived(ctx context.Context) (int, error) {
	rows, err := s.store.Read().Outlived(ctx, sweepBatch)
	if err != nil {
		return 0, err
	}
	for i, row := range rows {
		s.log.Info("placed on a life of a worker that is over: given back", "execution", row.ID, "worker", deref(row.Worker))
		if err := s.Release(ctx, row.Fence()); err != nil {
			return i, err
		}
	}
	return len(rows), nil
}
