package api

import (
	"context"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/store"
)

// deleteExecution removes what the artifact store has, then the rows, which tell of it, and then the files. Whatever
// fails, it may be done again.
func (a *API) deleteExecution(ctx context.Context, in *ExecutionPath) (*struct{}, error) {
	const doing = "delete an execution"
	stored, err := a.storedBy(ctx, in.ID)
	if err == nil {
		err = a.deleteObjects(ctx, in.ID, stored)
	}
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	var workers []string
	err = a.audited(ctx, "execution deleted", func(q *store.Queries) (string, error) {
		row, err := q.Execution(ctx, in.ID)
		if err != nil {
			return "", err
		}
		if workers, err = q.WorkersOf(ctx, in.ID); err != nil {
			return "", err
		}
		deleted, err := q.DeleteExecution(ctx, in.ID)
		if err == nil && !deleted {
			err = notEnded(row)
		}
		return executionSubject(row), err
	})
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	for _, worker := range workers {
		if err := a.deleteFiles(ctx, worker, in.ID, stored[worker]); err != nil {
			// The worker's own sweep deletes what has no row.
			a.log.Warn("files of a deleted execution stay until the worker's sweep", "execution", in.ID, "error", err)
		}
	}
	return nil, nil
}

func notEnded(row store.ExecutionRow) error {
	return attune.Errorf(attune.CodeConflict,
		"execution %d is %s: cancel it first, what has not ended can't be deleted", row.ID, row.Status)
}

// storedBy returns the workers that have put artifacts of an execution that has ended into the artifact store, and for
// each whether it is still at it.
func (a *API) storedBy(ctx context.Context, id int64) (map[string]bool, error) {
	row, err := a.cfg.Store.Read().Execution(ctx, id)
	if err == nil && !row.Status.Final() {
		err = notEnded(row)
	}
	if err != nil {
		return nil, err
	}
	left, err := a.cfg.Store.Read().Artifacts(ctx, id)
	if err != nil {
		return nil, err
	}
	workers := map[string]bool{}
	for _, each := range left {
		if each.Location != store.LocationWorker {
			workers[each.Worker] = workers[each.Worker] || each.Location == store.LocationPending
		}
	}
	if len(workers) > 0 && a.cfg.Objects == nil { // nobody would ever find them again
		return nil, attune.Errorf(attune.CodeConflict, "what execution %d has left is in an artifact store, and this server has none: "+
			"set artifacts.store here as on the workers, and delete it then", id)
	}
	return workers, nil
}

func (a *API) deleteObjects(ctx context.Context, id int64, stored map[string]bool) error {
	for worker := range stored {
		if err := a.cfg.Objects.DeletePrefix(ctx, artifact.KeyDir(worker, id)); err != nil {
			return a.storeAway(ctx, "delete an execution", err)
		}
	}
	return nil
}

// deleteFiles removes an execution's files on a worker, if they are here. What the worker has uploaded since its objects
// were removed goes first: the files are then all that tells of it.
func (a *API) deleteFiles(ctx context.Context, worker string, id int64, uploading bool) error {
	if uploading {
		if err := a.cfg.Objects.DeletePrefix(ctx, artifact.KeyDir(worker, id)); err != nil {
			return err
		}
	}
	files, err := a.cfg.Artifacts(worker)
	if attune.ErrorCode(err) == attune.CodeNotFound {
		return nil // they are elsewhere, where the worker's sweep finds them
	}
	if err != nil {
		return err
	}
	return files.Delete(id)
}
