package execution

import (
	"context"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// Assignment is what a worker needs to run an attempt that it has claimed.
type Assignment struct {
	store.ExecutionRow
	Action attune.Action // the version that was submitted
}

// Claim takes a scheduled execution into a slot of the worker that the fence names. It may be repeated until the
// answer is certain: what this fence has claimed already is answered alike. An attempt that is over, or was placed
// elsewhere meanwhile, is an error with CodeStale.
func (s *Service) Claim(ctx context.Context, f attune.Fence) (Assignment, error) {
	c, err := s.claims.Do(ctx, f)
	if err != nil {
		return Assignment{}, err
	}
	action, err := s.versions.get(ctx, s.store.Read(), c.row.ActionID)
	if err != nil {
		return Assignment{}, err
	}
	if c.now {
		s.publish(ctx, changed(c.row, attune.StatusScheduled, attune.StatusRunning, *c.row.StartedAt))
	}
	return Assignment{c.row, action}, nil
}

// claimed is a row that is the claimer's, since now or since an earlier call.
type claimed struct {
	row store.ExecutionRow
	now bool
}

// claim is one statement in the usual case, however many calls there are.
func claim(ctx context.Context, q *store.Queries, calls []*call[attune.Fence, claimed]) error {
	fences := make([]attune.Fence, len(calls))
	for i, c := range calls {
		fences[i] = c.in
	}
	got, err := q.MarkRunning(ctx, fences)
	if err != nil {
		return err
	}
	for _, c := range calls {
		now, ok := got[c.in]
		if !ok {
			if err := c.settle(ctx, q, claimedBefore); err != nil {
				return err
			}
			continue
		}
		delete(got, c.in) // another call for the same has claimed it before, then
		c.out = claimed{now.ExecutionRow, true}
		if now.PassedOver {
			if err := q.SetPassedOver(ctx, c.in.WorkerID, c.in.Incarnation, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimedBefore answers a claim that has changed nothing.
func claimedBefore(ctx context.Context, q *store.Queries, f attune.Fence) (claimed, error) {
	row, err := q.Execution(ctx, f.ExecutionID)
	if err != nil {
		return claimed{}, err
	}
	if row.Fence() != f || !row.Status.Live() {
		return claimed{}, stale(f, "claim")
	}
	return claimed{row, false}, nil
}

// Release gives back a scheduled execution that its worker does not take. One that has moved on is left alone.
func (s *Service) Release(ctx context.Context, f attune.Fence) error {
	_, err := s.release(ctx, f, func(*store.Queries) error { return nil })
	return err
}

// PassOver releases an execution that its worker let lie, and gives that worker nothing until it claims something. If
// the execution has moved on, the worker did not let it lie; if the worker has started again, its last life did.
func (s *Service) PassOver(ctx context.Context, f attune.Fence) error {
	_, err := s.release(ctx, f, func(q *store.Queries) error {
		return q.SetPassedOver(ctx, f.WorkerID, f.Incarnation, true)
	})
	return err
}

// release gives back a scheduled execution, with what belongs to it, and returns whether it was still scheduled.
func (s *Service) release(ctx context.Context, f attune.Fence, with func(*store.Queries) error) (released bool, err error) {
	var row store.ExecutionRow
	err = s.store.Write(ctx, func(q *store.Queries) (err error) {
		if released, err = q.MarkReleased(ctx, f); err != nil || !released {
			return err
		}
		if row, err = q.Execution(ctx, f.ExecutionID); err != nil {
			return err
		}
		return with(q)
	})
	if err != nil || !released {
		return false, err
	}
	s.publish(ctx, requested(row))
	return true, nil
}
