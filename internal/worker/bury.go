package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/store"
)

// Bury tells whether an embedded worker is dead, which is so when its lock can be had. Whatever it left running on
// this host is ended before the answer, so that the caller may abandon its executions. The home of an exclusive
// worker is removed.
func Bury(ctx context.Context, dataDir string, row store.WorkerRow, log *slog.Logger) (dead bool, err error) {
	home := HomeOf(dataDir, row.Name)
	unlock, err := home.lock()
	if errors.Is(err, errHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	processes, err := process.New(process.Config{Name: row.Name, RecordsDir: home.Processes(), Logger: log})
	if err != nil {
		return false, err
	}
	if _, err := home.endLeftovers(ctx, processes); err != nil {
		return false, fmt.Errorf("end what worker %s left: %w", row.Name, err)
	}
	if !row.Exclusive {
		return true, nil
	}
	return true, home.remove()
}

// bury removes all traces of an exclusive worker.
func bury(ctx context.Context, deps Deps, row store.WorkerRow, home Home) error {
	if err := deps.Executions.CancelPinned(ctx, row.ID); err != nil {
		return fmt.Errorf("cancel what only worker %s might run: %w", row.Name, err)
	}
	err := deps.Store.Write(ctx, func(q *store.Queries) error { return q.DeleteWorker(ctx, row.ID) })
	if err != nil {
		return err
	}
	return home.remove()
}
