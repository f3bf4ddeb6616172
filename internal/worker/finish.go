package worker

import (
	"context"
	"errors"
	"fmt"
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

// firstTry is how long the database has to take an ending before it is written to this host's disk: until then it is in
// memory only.
const firstTry = 5 * time.Second

// finish stores how an attempt ended: at once, or, if the database can't take it or others wait before it, by way of the
// spool. The result of somebody's work must not depend on the database being there at that moment. It returns false if
// neither has taken it when the worker must end.
func (w *Worker) finish(e ending) bool {
	why := errBehind
	if w.spool.clear() {
		ctx, cancel := context.WithTimeout(w.trying, firstTry)
		why = w.courier.bring(ctx, e)
		cancel()
		if why == nil {
			w.failing.finish.Over(storedAgain)
			w.uploads.wake()
			return true
		}
	}
	err := w.spool.put(e)
	if err == nil {
		w.failing.spool.Over("results can be kept on this host again")
		w.failing.finish.Warn("result kept on this host until the database takes it", why, "execution", e.Fence.ExecutionID)
		return true
	}
	w.failing.spool.Error("result can't be kept on this host, it waits in memory", err, "execution", e.Fence.ExecutionID)
	for {
		err := w.courier.insist(w.trying, e)
		if err == nil {
			w.failing.finish.Over(storedAgain)
			w.uploads.wake()
			return true
		}
		w.failing.finish.Warn("result not stored, it is repeated", err, "execution", e.Fence.ExecutionID)
		select {
		case <-w.trying.Done():
			return false
		case <-time.After(jitter(retryPause)):
		}
	}
}

// errBehind is why a result is not brought to the database at once.
var errBehind = errors.New("others wait in the spool before it")

// storedAgain is what the log is told when the database takes results again.
const storedAgain = "results are stored again"

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
		err := w.courier.empty(ctx, w.spool)
		if err == nil {
			w.failing.deliver.Over("the spool is delivered")
			w.uploads.wake()
			w.failing.finish.Over(storedAgain)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.failing.deliver.Warn("spooled results not stored, it is repeated", err, "results", w.spool.size())
		select {
		case <-ctx.Done():
		case <-time.After(jitter(retryPause)):
		}
	}
}

// courier brings endings to the database.
type courier struct {
	executions *execution.Service
	store      *store.Store
	log        *slog.Logger
}

// bring delivers one ending once. It returns nil when the answer is certain.
func (c courier) bring(ctx context.Context, e ending) error {
	outcome := e.Outcome
	outcome.Age = max(0, time.Since(e.EndedAt))
	status, err := c.executions.Finish(ctx, e.Fence, outcome, e.Artifacts)
	switch attune.ErrorCode(err) {
	case "":
		c.log.Debug("ended", "execution", e.Fence.ExecutionID, "attempt", e.Fence.Attempt, "status", status)
	case attune.CodeStale:
		c.log.Warn("the attempt was over: its result is kept as an artifact only", "execution", e.Fence.ExecutionID, "error", err)
		return c.keepStale(ctx, e)
	case attune.CodeNotFound:
		c.log.Warn("the execution was deleted while it ran", "execution", e.Fence.ExecutionID)
	default:
		return err
	}
	return nil
}

// keepStale lists what a refused attempt has left, so that it can be found. It returns an error if the database can't be
// had for it.
func (c courier) keepStale(ctx context.Context, e ending) error {
	err := c.store.Write(ctx, func(q *store.Queries) error {
		worker, err := q.Worker(ctx, e.Fence.WorkerID)
		if err == nil {
			err = q.SetOutput(ctx, e.Fence, e.Outcome.Stdout, e.Outcome.Stderr)
		}
		if err != nil {
			return err
		}
		return q.PutArtifacts(ctx, c.executions.Left(e.Fence.ExecutionID, worker.Name, e.Artifacts, e.Outcome.Order))
	})
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	if err != nil {
		c.log.Warn("artifacts of a refused attempt are not listed", "execution", e.Fence.ExecutionID, "error", err)
	}
	return nil
}

// errRefused says that the database is there and won't take an ending, not even its bare status.
var errRefused = errors.New("the database refuses it")

// refusals is how often the database may refuse an ending before it is believed, and refusalPause the time between.
const (
	refusals     = 3
	refusalPause = 200 * time.Millisecond
)

// insist delivers one ending, of which as little as its status if the database is there and refuses all of it: an
// execution must end, and others wait behind it. What was refused is in the log.
func (c courier) insist(ctx context.Context, e ending) error {
	var err error
	for try := 1; try <= refusals; try++ {
		if err = c.bring(ctx, e); err == nil || errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(jitter(refusalPause)):
		}
	}
	c.log.Error("the database refuses how an execution ended: only that it did is stored",
		"execution", e.Fence.ExecutionID, "outcome", e.Outcome.Status, "error", err)
	bare := ending{Fence: e.Fence, EndedAt: e.EndedAt, Outcome: attune.Outcome{
		Status: attune.StatusFailed, Failure: &attune.Failure{
			Kind: attune.FailureSetup, Message: fmt.Sprintf("it ended as %s, and the database refused to store how: %v", e.Outcome.Status, err),
		},
	}}
	if err := c.bring(ctx, bare); err != nil {
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}

// spoolTry is how long one ending may take before the next one in the spool is tried: somebody else may hold its row.
const spoolTry = 2 * time.Second

// errSlow says that an ending takes long, whatever the others would.
var errSlow = errors.New("it is not stored in time")

func (c courier) briefly(ctx context.Context, e ending) error {
	try, cancel := context.WithTimeout(ctx, spoolTry)
	defer cancel()
	err := c.insist(try, e)
	if err != nil && try.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

// empty delivers a spool in order, until it is empty or the database can't be had. What is refused is set aside, and
// does not keep back what came after it.
func (c courier) empty(ctx context.Context, s *spool) error {
	for {
		file, ok := s.first()
		if !ok {
			return nil
		}
		err := c.briefly(ctx, file.ending)
		switch {
		case errors.Is(err, errRefused):
			path, moved := s.setAside(file)
			c.log.Error("spooled result is set aside", "execution", file.Fence.ExecutionID, "file", path, "error", errors.Join(err, moved))
		case errors.Is(err, errSlow) && s.hold(file):
		case err != nil:
			return err
		default:
			if err := s.drop(file); err != nil { // delivering it again changes nothing
				c.log.Warn("delivered result stays in the spool until the next start", "error", err)
			}
		}
	}
}
