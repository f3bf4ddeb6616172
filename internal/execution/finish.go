package execution

import (
	"context"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// Finish stores how an attempt ended, with what it left, and returns the execution's status after it: final, or
// requested when the retry policy leaves another attempt. It may be repeated until the answer is certain; what nobody has
// told before of what the attempt left is added then. An attempt that is not the row's any more is an error with CodeStale,
// and nothing is stored.
func (s *Service) Finish(ctx context.Context, f attune.Fence, o attune.Outcome, left []attune.Artifact) (attune.Status, error) {
	end, err := s.finishes.Do(ctx, finished{f, o, left})
	if err != nil {
		return "", err
	}
	if end.written {
		s.publish(ctx, end.message)
	}
	return end.status, nil
}

// finished is what a call of Finish has to tell.
type finished struct {
	fence   attune.Fence
	outcome attune.Outcome
	left    []attune.Artifact
}

func (f finished) completed() bool { return f.outcome.Status == attune.StatusCompleted }

// ending is what a finished attempt made of its execution.
type ending struct {
	status  attune.Status
	worker  string
	written bool // false if an earlier call had done it
	message broker.Message
}

// finish is two statements in the usual case, that of attempts that have completed and nobody has cancelled, however many
// calls there are.
func (s *Service) finish(ctx context.Context, q *store.Queries, calls []*call[finished, ending]) error {
	done, err := completed(ctx, q, calls)
	if err != nil {
		return err
	}
	var left []store.Left
	for _, c := range calls {
		if one, ok := done[c.in.fence]; ok && c.in.completed() {
			delete(done, c.in.fence) // another call for the same has finished it before, then
			c.out = endingOf(c.in.fence, attune.StatusRunning, attune.StatusCompleted, one)
		} else if err := c.settle(ctx, q, s.end); err != nil {
			return err
		}
		if c.out.written {
			left = append(left, s.leftBy(c.in, c.out.worker))
		}
	}
	return q.PutArtifacts(ctx, left...)
}

func (s *Service) leftBy(in finished, worker string) store.Left {
	return s.Left(in.fence.ExecutionID, worker, in.left, in.outcome.Order)
}

// completed ends the attempts that have completed, which no policy retries.
func completed(ctx context.Context, q *store.Queries, calls []*call[finished, ending]) (map[attune.Fence]store.Finished, error) {
	var ended []store.Ended
	told := map[attune.Fence]bool{}
	for _, c := range calls {
		if c.in.completed() && !told[c.in.fence] {
			told[c.in.fence] = true
			ended = append(ended, store.Ended{Fence: c.in.fence, Outcome: c.in.outcome})
		}
	}
	if len(ended) == 0 {
		return nil, nil
	}
	return q.MarkFinished(ctx, attune.StatusRunning, ended)
}

// end ends an attempt that has not completed, or that the row does not have as running.
func (s *Service) end(ctx context.Context, q *store.Queries, in finished) (ending, error) {
	f, o := in.fence, in.outcome
	row, err := q.LockExecution(ctx, f.ExecutionID)
	if err != nil {
		return ending{}, err
	}
	if row.Fence() != f || !row.Status.Live() {
		return s.finishedBefore(ctx, q, row, in)
	}
	if row.Status == attune.StatusCanceling {
		return writeFinal(ctx, q, row, underCancel(row, o))
	}
	if o.Status == attune.StatusCancelled {
		o = uncalledFor(o)
	}
	delay, again, err := s.retryAfter(ctx, q, row, o.Status)
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

func endingOf(f attune.Fence, from, to attune.Status, done store.Finished) ending {
	return ending{to, done.Worker, true, broker.StatusChanged(broker.ExecutionStatusChanged{
		ExecutionID: f.ExecutionID, ActionRef: done.Action, Attempt: f.Attempt,
		PreviousStatus: from, NewStatus: to, ChangedAt: done.At,
	})}
}

// finishedBefore tells a repetition, which is fine, from a writer whose attempt is over: how the attempt ended is then
// something else than what it has to say.
func (s *Service) finishedBefore(ctx context.Context, q *store.Queries, row store.ExecutionRow, in finished) (ending, error) {
	f, o := in.fence, in.outcome
	stored, worker := row.Status, deref(row.Worker)
	if row.Fence() != f {
		var err error
		if stored, worker, err = q.EndedAttempt(ctx, f); err != nil {
			return ending{}, err
		}
	}
	cancelled := row.CancelledBy != "" && stored == underCancel(row, o).Status
	uncalled := o.Status == attune.StatusCancelled && stored == attune.StatusAbandoned
	if stored != o.Status && !cancelled && !uncalled {
		return ending{}, stale(f, "finish")
	}
	return ending{status: row.Status}, s.putRemains(ctx, q, worker, in)
}

// putRemains adds what an attempt has left to how it ended, if nobody has: who ends what a lost worker ran, as a server
// does, can't see that worker's files.
func (s *Service) putRemains(ctx context.Context, q *store.Queries, worker string, in finished) error {
	if o := in.outcome; o.Stdout.Bytes > 0 || o.Stderr.Bytes > 0 {
		if err := q.SetOutput(ctx, in.fence, o.Stdout, o.Stderr); err != nil {
			return err
		}
	}
	return q.PutFound(ctx, s.leftBy(in, worker))
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

func (s *Service) retryAfter(ctx context.Context, q *store.Queries, row store.ExecutionRow, ended attune.Status) (time.Duration, bool, error) {
	if row.MaxAttempts < 2 {
		return 0, false, nil
	}
	action, err := s.versions.get(ctx, q, row.ActionID)
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
	done, err := q.MarkFinished(ctx, row.Status, []store.Ended{{Fence: row.Fence(), Outcome: o}})
	if err != nil {
		return ending{}, err
	}
	one, ok := done[row.Fence()]
	if !ok {
		return ending{}, stale(row.Fence(), "finish")
	}
	return endingOf(row.Fence(), row.Status, o.Status, one), nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
