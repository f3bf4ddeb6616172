package worker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/store"
)

// retryPause is the mean time between two tries of what the database did not take.
const retryPause = time.Second

// jitter spreads the tries of many workers over time: half to one and a half times d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// finish stores how an attempt ended: at once, or, if the database can't take it or others wait before it, by way of the
// spool. The result of somebody's work must not depend on the database being there at that moment.
func (w *Worker) finish(e ending) {
	if w.spool.size() == 0 && w.deliver(e) {
		return
	}
	err := w.spool.put(e)
	if err == nil {
		w.log.Warn("result kept on this host until the database takes it", "execution", e.Fence.ExecutionID)
		return
	}
	w.log.Error("result can't be kept on this host, it waits in memory", "execution", e.Fence.ExecutionID, "error", err)
	for !w.deliver(e) {
		select {
		case <-w.giveUp:
			return
		case <-time.After(jitter(retryPause)):
		}
	}
}

// deliver stores one ending, and returns whether the answer is certain.
func (w *Worker) deliver(e ending) bool { return deliver(w.log, w.deps.Executions, w.deps.Store, e) }

func deliver(log *slog.Logger, executions *execution.Service, db *store.Store, e ending) bool {
	// Not the work's context: the end is stored also when the worker is told to end.
	ctx, cancel := context.WithTimeout(context.Background(), deliverTime)
	defer cancel()
	outcome := e.Outcome
	outcome.Age = max(0, time.Since(e.EndedAt))
	status, err := executions.Finish(ctx, e.Fence, outcome, e.Artifacts)
	switch attune.ErrorCode(err) {
	case "":
		log.Debug("ended", "execution", e.Fence.ExecutionID, "attempt", e.Fence.Attempt, "status", status)
		return true
	case attune.CodeStale:
		log.Warn("the attempt was over: its result is kept as an artifact only", "execution", e.Fence.ExecutionID, "error", err)
		keepStale(ctx, log, db, e)
		return true
	case attune.CodeNotFound:
		log.Warn("the execution was deleted while it ran", "execution", e.Fence.ExecutionID)
		return true
	}
	log.Warn("result not stored, it is repeated", "execution", e.Fence.ExecutionID, "error", err)
	return false
}

// deliverTime bounds one try: SQLite waits 20 s for another process, and sessions of PostgreSQL have limits of their own.
const deliverTime = time.Minute

// keepStale lists what a refused attempt has left, so that it can be found.
func keepStale(ctx context.Context, log *slog.Logger, db *store.Store, e ending) {
	err := db.Write(ctx, func(q *store.Queries) error {
		worker, err := q.Worker(ctx, e.Fence.WorkerID)
		if err != nil {
			return err
		}
		return q.PutArtifacts(ctx, e.Fence.ExecutionID, worker.Name, e.Artifacts)
	})
	if err != nil {
		log.Warn("artifacts of a refused attempt are not listed", "execution", e.Fence.ExecutionID, "error", err)
	}
}

// deliverSpool delivers what is in the spool, in order, as soon as the database takes it, until ctx ends.
func (w *Worker) deliverSpool(ctx context.Context) error {
	for {
		if err := w.emptySpool(ctx); err != nil {
			return nil //nolint:nilerr // ctx has ended; what is left waits for the worker's next start
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.spool.added:
		}
	}
}

// emptySpool returns when everything was delivered, or with the cause of ctx.
func (w *Worker) emptySpool(ctx context.Context) error {
	for {
		file, ok := w.spool.first()
		if !ok {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !w.deliver(file.ending) {
			select {
			case <-ctx.Done():
			case <-time.After(jitter(retryPause)):
			}
			continue
		}
		if err := w.spool.drop(file); err != nil { // delivering it again changes nothing
			w.log.Warn("delivered result stays in the spool until the next start", "error", err)
		}
	}
}
