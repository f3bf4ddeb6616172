package execution

import (
	"context"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// Abandon ends an attempt whose worker is lost, or does not know it: by policy it is retried. One that was being
// cancelled ends as cancelled. Where its files can be seen, remains finds what it has left, which is added also to an
// attempt that somebody else has abandoned; else it is nil. The caller has made sure that no process of the attempt is left.
func (s *Service) Abandon(ctx context.Context, f attune.Fence, why string, remains Remains) (attune.Status, error) {
	outcome, left := abandoned(why), []attune.Artifact(nil)
	if remains != nil {
		outcome.Stdout, outcome.Stderr, left = remains(f)
	}
	return s.Finish(ctx, f, outcome, left)
}

func abandoned(why string) attune.Outcome {
	return attune.Outcome{
		Status: attune.StatusAbandoned, Failure: &attune.Failure{Kind: attune.FailureWorkerLost, Message: why},
	}
}

// Remains finds what an attempt has left whose end nobody has seen.
type Remains func(attune.Fence) (stdout, stderr attune.Output, left []attune.Artifact)

// Lose gives back or abandons all that a dead worker holds, up to an incarnation, and returns how many attempts were
// abandoned; remains is as for Abandon. It may be repeated.
func (s *Service) Lose(ctx context.Context, workerID, incarnation int64, why string, remains Remains) (int, error) {
	held, err := s.Held(ctx, workerID, incarnation)
	if err != nil {
		return 0, err
	}
	return s.LoseThese(ctx, held, why, remains)
}

// Held returns all that a worker holds, up to an incarnation.
func (s *Service) Held(ctx context.Context, workerID, incarnation int64) ([]store.ExecutionRow, error) {
	var held []store.ExecutionRow
	for _, status := range []attune.Status{attune.StatusScheduled, attune.StatusRunning, attune.StatusCanceling} {
		rows, err := s.store.Read().HeldBy(ctx, workerID, status)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Incarnation <= incarnation {
				held = append(held, row)
			}
		}
	}
	return held, nil
}

// LoseThese is Lose for what Held returned some time ago. Who is judged by silence may be heard again at any moment, and
// claim more: what it holds must have been read before the judgement, and no more than that is taken from it.
func (s *Service) LoseThese(ctx context.Context, held []store.ExecutionRow, why string, remains Remains) (int, error) {
	abandoned := 0
	for _, row := range held {
		if err := s.loseOne(ctx, row, why, remains); err != nil {
			return abandoned, err
		}
		if row.Status.Live() {
			abandoned++
		}
	}
	return abandoned, nil
}

func (s *Service) loseOne(ctx context.Context, row store.ExecutionRow, why string, remains Remains) error {
	if row.Status == attune.StatusScheduled {
		return s.Release(ctx, row.Fence())
	}
	_, err := s.Abandon(ctx, row.Fence(), why, remains)
	if attune.ErrorCode(err) == attune.CodeStale {
		return nil // it ended meanwhile, which is what we wanted
	}
	return err
}

// CancelPinned cancels what waits for one worker alone, which is gone for good.
func (s *Service) CancelPinned(ctx context.Context, workerID int64) error {
	lines, err := s.store.Read().Lines(ctx)
	if err != nil {
		return err
	}
	const by = "attune, because the command that was to run it has ended"
	why := attune.Failure{Kind: attune.FailureCancelled, Message: cancelledBy(by)}
	for _, line := range lines {
		class, err := ParseClass(line.Class)
		if err != nil {
			return err
		}
		for n := placeBatch; class.Pin == workerID && n == placeBatch; {
			if n, err = s.endClass(ctx, line.Class, attune.StatusCancelled, by, why); err != nil {
				return err
			}
		}
	}
	return nil
}
