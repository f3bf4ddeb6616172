package worker

import (
	"context"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
)

// orphanAge is how old a directory without an execution must be: a claim creates the two one after the other.
const orphanAge = time.Hour

// retain deletes artifact files past their retention, and those of executions that are gone, once at the start and
// then every hour.
func (w *Worker) retain(ctx context.Context) error {
	if w.cfg.Exclusive {
		return nil // gone long before anything of its own is old
	}
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		n, err := w.deps.Artifacts.Sweep(ctx, w.expired)
		if err != nil && ctx.Err() == nil {
			w.log.Error("removing old artifacts failed, it is repeated", "error", err)
		}
		if n > 0 {
			w.log.Info("removed old artifacts", "executions", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// expired chooses the executions whose files may go.
func (w *Worker) expired(ctx context.Context, batch []artifact.Kept) ([]int64, error) {
	var gone []int64
	for _, kept := range batch {
		age := time.Since(kept.Touched)
		row, err := w.deps.Store.Read().Execution(ctx, kept.ID)
		switch {
		case attune.ErrorCode(err) == attune.CodeNotFound:
			if age > orphanAge {
				gone = append(gone, kept.ID)
			}
		case err != nil:
			return nil, err
		case w.cfg.Retention > 0 && row.Status.Final() && age > w.cfg.Retention:
			gone = append(gone, kept.ID)
		}
	}
	return gone, nil
}
