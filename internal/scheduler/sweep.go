package scheduler

import "context"

// sweep makes up for lost messages: it publishes again, and gives back what was placed and will never be claimed.
// When there is nothing to make up for, it costs one statement.
func (s *Scheduler) sweep(ctx context.Context) error {
	waiting, sent, err := s.cfg.Store.Read().Unsettled(ctx)
	if err != nil {
		return err
	}
	if sent {
		if err := s.repeat(ctx); err != nil {
			return err
		}
	}
	if !waiting {
		return nil
	}
	rejected, err := s.cfg.Executions.Reject(ctx)
	if rejected > 0 {
		s.log.Warn("failed as unschedulable", "executions", rejected)
	}
	return err
}

func (s *Scheduler) repeat(ctx context.Context) error {
	if _, err := s.cfg.Executions.ReleaseOutlived(ctx); err != nil {
		return err
	}
	n, err := s.cfg.Executions.Republish(ctx, s.cfg.RepublishAfter)
	if err != nil {
		return err
	}
	if n > 0 {
		s.log.Warn("published again: no worker had taken notice", "messages", n)
	}
	_, err = s.cfg.Executions.ReleaseUnclaimed(ctx, s.cfg.ClaimWithin)
	return err
}
