package execution

import (
	"context"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// Cancel ends an execution that has not begun, and asks the worker of one that runs to end it; by names who asked.
// Asking again is harmless. One that has ended is an error with CodeConflict that names how.
func (s *Service) Cancel(ctx context.Context, id int64, by string) (row store.ExecutionRow, err error) {
	var messages []broker.Message
	err = s.store.Write(ctx, func(q *store.Queries) error {
		row, err = q.LockExecution(ctx, id)
		if err != nil {
			return err
		}
		messages, err = cancel(ctx, q, row, by)
		if err != nil {
			return err
		}
		if row.Status != attune.StatusCanceling { // else somebody has cancelled it before
			if err := q.Audit(ctx, asked(by, "execution cancelled", row)...); err != nil {
				return err
			}
		}
		row, err = q.Execution(ctx, id)
		return err
	})
	if err != nil {
		return row, err
	}
	s.publish(ctx, messages...)
	return row, nil
}

func cancel(ctx context.Context, q *store.Queries, row store.ExecutionRow, by string) ([]broker.Message, error) {
	var to attune.Status
	var messages []broker.Message
	var ok bool
	var err error
	switch row.Status {
	case attune.StatusRequested, attune.StatusScheduled:
		to = attune.StatusCancelled
		why := attune.Failure{Kind: attune.FailureCancelled, Message: cancelledBy(by) + " before it began"}
		ok, err = q.MarkEnded(ctx, row.ID, row.Status, to, by, why)
	case attune.StatusRunning:
		to = attune.StatusCanceling
		messages = append(messages, cancelRequest(row))
		ok, err = q.MarkCanceling(ctx, row.ID, by)
	case attune.StatusCanceling:
		return []broker.Message{cancelRequest(row)}, nil
	default:
		return nil, attune.Errorf(attune.CodeConflict, "execution %d has ended already: it is %s", row.ID, row.Status)
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, attune.Errorf(attune.CodeConflict, "execution %d has just changed: cancel it again", row.ID)
	}
	message, err := changedNow(ctx, q, row, to)
	return append(messages, message), err
}

// endWaiting ends an execution that waits; one that has moved on is left alone.
func (s *Service) endWaiting(ctx context.Context, id int64, to attune.Status, by string, why attune.Failure) (bool, error) {
	var message broker.Message
	var ended bool
	err := s.store.Write(ctx, func(q *store.Queries) error {
		row, err := q.LockExecution(ctx, id)
		if err != nil {
			return err
		}
		if ended, err = q.MarkEnded(ctx, id, attune.StatusRequested, to, by, why); err != nil || !ended {
			return err
		}
		message, err = changedNow(ctx, q, row, to)
		return err
	})
	if err != nil || !ended {
		return false, err
	}
	s.publish(ctx, message)
	return true, nil
}
