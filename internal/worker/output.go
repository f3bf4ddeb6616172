package worker

import (
	"context"

	"github.com/attune-automation/attune/internal/live"
)

// sendOutput sends the output of executions to servers that ask for it, until ctx ends. Where the server is part of this
// process, or of this host's data directory, it reads the files itself.
func (w *Worker) sendOutput(ctx context.Context) error {
	if !w.cfg.Leased {
		return nil
	}
	source := live.NewSource(live.SourceConfig{
		Broker: w.deps.Broker, Artifacts: w.deps.Artifacts, Running: w.slots.has, Logger: w.log,
	})
	return source.Run(ctx, w.id)
}
