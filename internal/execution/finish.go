package execution

import (
	"context"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// Finish stores how an attempt ended, with what it left, and returns the execution's status after it: final, or
// requested when the retry policy leaves another attempt. It may be repeated until the answer is certain. An attempt
// that is not the row's any more is an error with CodeStale, and nothing is stored.
func (s *Service) Finish(ctx context.Context, f attune.Fence, o attune.Outcome, left []attune.Artifact) (attune.Status, error) {
	var end ending
	err := s.store.Write(ctx, func(q *store.Queries) (err error) {
		end, err = finish(ctx, q, f, o)
		if err != nil || !end.written {
			return err
		}
		return q.PutArtifacts(ctx, f.ExecutionID, end.worker, left)
	})
	if err != nil {
		return "", err
	}
	if end.written {
		s.publish(ctx, end.message)
	}
	return end.status, nil
}

// ending is what a finished attempt made of its execution.
type ending struct {
	status  attune.Status
	worker  string
	written bool // false if an earlier call had done it
	message broker.Message
}

func finish(ctx context.Context, q *store.Queries, f attune.Fence, o attune.Outcome) (ending, error) {
	row, err := q.LockExecution(ctx, f.ExecutionID)
	if err != nil {
		return ending{}, err
	}
	if row.Fence() != f || !row.Status.Live() {
		return finishedBefore(ctx, q, row, f, o)
	}
	if row.Status == attune.StatusCanceling {
		return writeFinal(ctx, q, row, underCancel(row, o))
	}
	if o.Status == attune.StatusCancelled {
		o = uncalledFor(o)
	}
	delay, again, err := retryAfter(ctx, q, row, o.Status)
	if err != nil {
		return ending{}, err
	}
	if !again {
		return writeFinal(ctx, q, row, o)
	}
	ok, err := q.MarkRetried(ctx, f, o, delay)
	if err == nil && !ok {
		err = stale(f, "retry")
	}
	return ending{attune.StatusRequested, deref(row.Worker), true, requested(row)}, err
}

// finishedBefore tells a repetition, which is fine, from a writer whose attempt is over: how the attempt ended is then
// something else than what it has to say.
func finishedBefore(ctx context.Context, q *store.Queries, row store.ExecutionRow, f attune.Fence, o attune.Outcome) (ending, error) {
	stored := row.Status
	if row.Fence() != f {
		var err error
		if stored, err = q.EndedAttempt(ctx, f); err != nil {
			return ending{}, err
		}
	}
	cancelled := row.CancelledBy != "" && stored == underCancel(row, o).Status
	uncalled := o.Status == attune.StatusCancelled && stored == attune.StatusAbandoned
	if stored != o.Status && !cancelled && !uncalled {
		return ending{}, stale(f, "finish")
	}
	return ending{status: row.Status}, nil
}

// underCancel is what an outcome becomes when somebody had asked for the end: a worker that is lost has ended it, too.
func underCancel(row store.ExecutionRow, o attune.Outcome) attune.Outcome {
	if o.Status == attune.StatusAbandoned {
		o.Status = attune.StatusCancelled
		o.Failure = &attune.Failure{Kind: attune.FailureCancelled, Message: cancelledBy(row.CancelledBy) + "; its worker was lost"}
	}
	if o.Status == attune.StatusCancelled && o.Failure == nil {
		o.Failure = &attune.Failure{Kind: attune.FailureCancelled, Message: cancelledBy(row.CancelledBy)}
	}
	return o
}

// uncalledFor is what a cancelled outcome becomes when the row knows of nobody who had asked for it, as after a failover
// of the database that has lost the request.
func uncalledFor(o attune.Outcome) attune.Outcome {
	o.Status = attune.StatusAbandoned
	o.Failure = &attune.Failure{
		Kind: attune.FailureWorkerLost, Message: "its worker was told to cancel it, by a request that the database does not have",
	}
	return o
}

func cancelledBy(who string) string { return "cancelled by " + who }

func retryAfter(ctx context.Context, q *store.Queries, row store.ExecutionRow, ended attune.Status) (time.Duration, bool, error) {
	if row.MaxAttempts < 2 {
		return 0, false, nil
	}
	action, err := q.ActionVersion(ctx, row.ActionID)
	if err != nil {
		return 0, false, err
	}
	delay, again := action.Retry.After(row.Attempt, ended)
	return delay, again, nil
}

func writeFinal(ctx context.Context, q *store.Queries, row store.ExecutionRow, o attune.Outcome) (ending, error) {
	if !row.Status.CanBecome(o.Status) {
		return ending{}, attune.Errorf(attune.CodeInternal, "execution %d is %s and can't become %s", row.ID, row.Status, o.Status)
	}
	ok, err := q.MarkFinished(ctx, row.Fence(), row.Status, o)
	if err == nil && !ok {
		err = stale(row.Fence(), "finish")
	}
	if err != nil {
		return ending{}, err
	}
	message, err := changed(ctx, q, row, o.Status)
	return ending{o.Status, deref(row.Worker), true, message}, err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
