package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/store"
)

// Undertaker ends what dead workers of a data directory have left there.
type Undertaker struct {
	DataDir      string
	ArtifactsDir string
	Store        *store.Store
	Executions   *execution.Service
	Logger       *slog.Logger
}

// Bury tells whether an embedded worker is dead, which is so when its lock can be had. What it had still to tell is
// delivered, whatever it left running on this host is ended, and its attempts are abandoned, with the output and the
// files that they have left. The home of an exclusive worker is removed.
func (u Undertaker) Bury(ctx context.Context, row store.WorkerRow) (dead bool, err error) {
	home := HomeOf(u.DataDir, row.Name)
	unlock, err := home.lock()
	if errors.Is(err, errHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	if err := u.deliver(ctx, home); err != nil {
		return false, err
	}
	processes, err := process.New(process.Config{Name: row.Name, RecordsDir: home.Processes(), Logger: u.Logger})
	if err != nil {
		return false, err
	}
	if _, err := home.endLeftovers(ctx, processes, u.Logger); err != nil {
		return false, fmt.Errorf("end what worker %s left: %w", row.Name, err)
	}
	artifacts, err := artifact.New(u.ArtifactsDir, row.Name)
	if err != nil {
		return false, err
	}
	if err := artifacts.DropHeld(); err != nil {
		return false, err
	}
	why := "worker " + row.Name + " was lost while it ran this"
	if _, err := u.Executions.Lose(ctx, row.ID, row.Incarnation, why, remainsIn(artifacts, u.Logger)); err != nil {
		return false, err
	}
	if row.Exclusive {
		home.removeIfPossible(u.Logger)
	}
	return true, nil
}

// remainsIn returns what finds the output and the files of attempts whose end nobody has seen.
func remainsIn(artifacts *artifact.Store, log *slog.Logger) execution.Remains {
	return func(f attune.Fence) (stdout, stderr attune.Output, left []attune.Artifact) {
		found, err := artifacts.Attempt(f.ExecutionID, f.Attempt).List()
		if err != nil {
			log.Warn("what a lost attempt has left is not listed", "execution", f.ExecutionID, "error", err)
		}
		for _, file := range found.Artifacts {
			switch file.Name {
			case attune.Stdout.LogFile():
				stdout.Bytes = file.Bytes
			case attune.Stderr.LogFile():
				stderr.Bytes = file.Bytes
			}
		}
		return stdout, stderr, found.Artifacts
	}
}

// remains finds what an attempt has left here.
func (w *Worker) remains(f attune.Fence) (stdout, stderr attune.Output, left []attune.Artifact) {
	return remainsIn(w.deps.Artifacts, w.log)(f)
}

// deliver delivers a dead worker's spool.
func (u Undertaker) deliver(ctx context.Context, home Home) error {
	spool := newSpool(home.spool())
	if err := spool.load(); err != nil {
		u.Logger.Error("the spool is incomplete", "error", err)
	}
	if err := (courier{u.Executions, u.Store, u.Logger}).empty(ctx, spool); err != nil {
		return fmt.Errorf("deliver the spooled results of worker %s: %w", filepath.Base(home.dir), err)
	}
	return nil
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
	home.removeIfPossible(deps.Logger)
	return nil
}
