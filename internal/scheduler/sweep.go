package scheduler

import "context"

// sweep makes up for lost messages: it publishes again, and gives back what was placed and never claimed.
func (s *Scheduler) sweep(ctx context.Context) error {
	n, err := s.cfg.Executions.Republish(ctx, s.cfg.RepublishAfter)
	if err != nil {
		return err
	}
	if n > 0 {
		s.log.Warn("published again: no worker had taken notice", "messages", n)
	}
	if _, err := s.cfg.Executions.ReleaseUnclaimed(ctx, s.cfg.ClaimWithin); err != nil {
		return err
	}
	rejected, err := s.cfg.Executions.Reject(ctx)
	if rejected > 0 {
		s.log.Warn("failed as unschedulable", "executions", rejected)
	}
	return err
}
