package execution

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// Submission is a checked request for an action to be run.
type Submission struct {
	Action   attune.Action
	ActionID int64  // row of the installed action; 0 for a script, whose files are Archive
	Archive  []byte // of a script

	Parameters     json.RawMessage // an object that the action's schema accepts, secret ones masked; defaults are merged by the worker
	Secrets        []byte          // the values of the secret ones, encrypted; nil if there is none
	Env            json.RawMessage // object of strings
	Context        json.RawMessage // object
	Timeout        time.Duration   // 0: the action's, else the worker's
	Pin            int64           // the only worker that may take it; 0 for any
	Trace          bool
	IdempotencyKey string
	RequestDigest  string              // of the whole request, to tell a repetition from a reuse of the key
	Parent         *store.ExecutionRow // the execution that asks; nil for none
	By             string              // who asks, for the audit log; "" is nobody to note
}

// MaxDepth bounds how many executions are above one that another has started: an action that starts itself comes to an
// end.
const MaxDepth = 10

// Submit stores an execution and announces it. When its idempotency key was used by the same request before, it
// returns that execution and false.
func (s *Service) Submit(ctx context.Context, sub Submission) (row store.ExecutionRow, created bool, err error) {
	if sub.Parent != nil && sub.Parent.Depth >= MaxDepth {
		return row, false, attune.Errorf(attune.CodeConflict, "execution %d is nested %d deep, which is the most: it can't start %s",
			sub.Parent.ID, MaxDepth, sub.Action.Ref)
	}
	done, err := s.submissions.Do(ctx, sub)
	if err != nil {
		return done.row, false, err
	}
	if done.created {
		s.cfg.Submitted()
		s.publish(ctx, requested(done.row))
	}
	return done.row, done.created, nil
}

// submitted is the execution that a submission has made, or that one before it had.
type submitted struct {
	row     store.ExecutionRow
	created bool
}

// submit is one statement in the usual case, that of installed actions, however many calls there are.
func submit(ctx context.Context, q *store.Queries, calls []*call[Submission, submitted]) error {
	rows := make([]store.NewExecution, len(calls))
	for i, c := range calls {
		if c.in.ActionID == 0 {
			var err error
			if c.in.ActionID, err = storeScript(ctx, q, c.in); err != nil {
				return err
			}
		}
		rows[i] = newRow(c.in)
	}
	made, err := q.InsertExecutions(ctx, rows)
	if err != nil {
		return err
	}
	var noted []attune.AuditEvent
	for i, c := range calls {
		if c.out.created = made[i].ID != 0; c.out.created {
			c.out.row = made[i]
			noted = append(noted, asked(c.in.By, "execution submitted", made[i])...)
		} else if err := c.settle(ctx, q, submittedBefore); err != nil {
			return err
		}
	}
	return q.Audit(ctx, noted...)
}

// asked is what the audit log has of somebody who asked for something with an execution; nothing, if nobody did.
func asked(by, event string, row store.ExecutionRow) []attune.AuditEvent {
	if by == "" {
		return nil
	}
	return []attune.AuditEvent{{Actor: by, Event: event, Subject: fmt.Sprintf("execution %d of %s", row.ID, row.Action)}}
}

// submittedBefore returns the execution that has the idempotency key already.
func submittedBefore(ctx context.Context, q *store.Queries, sub Submission) (done submitted, err error) {
	id, digest, err := q.ByIdempotencyKey(ctx, sub.IdempotencyKey)
	if err != nil {
		return done, err
	}
	if digest != sub.RequestDigest {
		return done, attune.Errorf(attune.CodeConflict,
			"the idempotency key %q was used for another request (execution %d): use a new key", sub.IdempotencyKey, id)
	}
	done.row, err = q.Execution(ctx, id)
	return done, err
}

func storeScript(ctx context.Context, q *store.Queries, sub Submission) (int64, error) {
	if err := q.PutArchive(ctx, sub.Action.Digest, sub.Archive); err != nil {
		return 0, err
	}
	return q.PutAction(ctx, sub.Action, false)
}

func newRow(sub Submission) store.NewExecution {
	class := Class{Runtime: sub.Action.Runtime, Selector: sub.Action.WorkerSelector, Pin: sub.Pin}
	row := store.NewExecution{
		ActionID: sub.ActionID, Action: sub.Action.Ref, MaxAttempts: sub.Action.Retry.Attempts(), Class: class.String(),
		IdempotencyKey: sub.IdempotencyKey, RequestDigest: sub.RequestDigest, Timeout: sub.Timeout, Trace: sub.Trace,
		Parameters: orEmpty(sub.Parameters), Secrets: sub.Secrets, Env: orEmpty(sub.Env), Context: orEmpty(sub.Context),
	}
	if sub.Parent != nil {
		row.Parent, row.Depth = sub.Parent.ID, sub.Parent.Depth+1
	}
	return row
}

func orEmpty(object json.RawMessage) json.RawMessage {
	if len(object) == 0 {
		return json.RawMessage("{}")
	}
	return object
}

// Rerun submits a new execution with the same version of the action and the same input as an earlier one.
func (s *Service) Rerun(ctx context.Context, id, pin int64, by string) (row store.ExecutionRow, err error) {
	err = s.store.Write(ctx, func(q *store.Queries) error {
		old, err := q.Execution(ctx, id)
		if err != nil {
			return err
		}
		action, err := q.ActionVersion(ctx, old.ActionID)
		if err != nil {
			return err
		}
		made, err := q.InsertExecutions(ctx, []store.NewExecution{newRow(Submission{
			Action: action.Action, ActionID: action.ID, Parameters: old.Parameters, Secrets: old.Secrets,
			Env: old.Env, Context: old.Context, Timeout: old.Timeout, Trace: old.Trace, Pin: pin,
		})})
		if err != nil {
			return err
		}
		row = made[0]
		return q.Audit(ctx, asked(by, "execution rerun", row)...)
	})
	if err != nil {
		return row, err
	}
	s.cfg.Submitted()
	s.publish(ctx, requested(row))
	return row, nil
}
