package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// assign places what waits: when a message wakes it, when a retry is due, and once a second in any case.
func (s *Scheduler) assign(ctx context.Context) error {
	timer, placing := time.NewTimer(0), outage.New(s.log)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		waiting, err := s.place(ctx)
		if errors.Is(err, execution.ErrPlacing) {
			timer.Reset(turn)
			continue
		}
		if err != nil {
			if ctx.Err() == nil {
				placing.Error("placing failed, it is repeated", err)
			}
			timer.Reset(poll)
			continue
		}
		placing.Over("placing works again")
		timer.Reset(s.pause(ctx, waiting))
	}
}

// turn is how long a scheduler leaves the placing to the one that does it, before it sees to what came meanwhile.
const turn = 10 * time.Millisecond

// place places until nothing more can be, and returns whether anything waits.
func (s *Scheduler) place(ctx context.Context) (waiting bool, err error) {
	for {
		s.cfg.Progress()
		round, err := s.round(ctx)
		if err != nil {
			return true, err
		}
		if round.Placed > 0 {
			s.log.Debug("placed", "executions", round.Placed)
		}
		if !round.More() {
			return round.Waiting, nil
		}
	}
}

func (s *Scheduler) round(ctx context.Context) (execution.Round, error) {
	ctx, cancel := context.WithTimeout(ctx, store.LoopPatience)
	defer cancel()
	return s.cfg.Executions.Schedule(ctx, s.cfg.Reach())
}

// pause is the time until the next retry is due, at most poll.
func (s *Scheduler) pause(ctx context.Context, waiting bool) time.Duration {
	if !waiting {
		return poll
	}
	ctx, cancel := context.WithTimeout(ctx, store.LoopPatience)
	defer cancel()
	next, found, err := s.cfg.Store.Read().NextDue(ctx)
	if err != nil || !found {
		return poll // place reports an error that lasts
	}
	return min(poll, max(next, time.Millisecond))
}
