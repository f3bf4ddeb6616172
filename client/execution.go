package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/attune-automation/attune"
)

// Submission asks for an action, or a script file in no pack, to be run.
type Submission struct {
	Action         attune.Ref      // or Script
	Script         *Script         // or Action
	Parameters     json.RawMessage // an object; nil for none
	Env            map[string]string
	Context        json.RawMessage // an object, for $ATTUNE_CONTEXT_FILE; nil for none
	Timeout        time.Duration   // 0: the action's, else the worker's
	Trace          bool
	IdempotencyKey string // the same key with the same submission gives the same execution
}

// Script is a script file in no pack.
type Script struct {
	Name    string `json:"name"` // its ending tells the runtime: greet.py
	Content string `json:"content"`
}

type submissionBody struct {
	Action         attune.Ref        `json:"action,omitempty"`
	Script         *Script           `json:"script,omitempty"`
	Parameters     json.RawMessage   `json:"parameters,omitempty"`
	Env            map[string]string `json:"env,omitempty"`
	Context        json.RawMessage   `json:"context,omitempty"`
	TimeoutSeconds float64           `json:"timeout_seconds,omitempty"`
	Trace          bool              `json:"trace,omitempty"`
}

// Submit asks for an execution and returns it, in most cases not yet begun.
func (c *Client) Submit(ctx context.Context, s Submission) (e attune.Execution, err error) {
	k := call{method: http.MethodPost, path: "/executions", header: http.Header{}, body: submissionBody{
		Action: s.Action, Script: s.Script, Parameters: s.Parameters, Env: s.Env, Context: s.Context,
		TimeoutSeconds: s.Timeout.Seconds(), Trace: s.Trace,
	}}
	if s.IdempotencyKey != "" {
		k.header.Set("Idempotency-Key", s.IdempotencyKey)
	}
	return e, c.do(ctx, k, &e)
}

func executionPath(id int64, more string) string {
	return "/executions/" + strconv.FormatInt(id, 10) + more
}

// Execution returns one execution.
func (c *Client) Execution(ctx context.Context, id int64) (attune.Execution, error) {
	return get[attune.Execution](ctx, c, executionPath(id, ""), nil)
}

const (
	waitOnce    = 30 * time.Second // how long the server is asked to wait in one request
	maxAbsence  = time.Minute      // of a server that answered before
	returnPause = 500 * time.Millisecond
)

// WaitExecution returns an execution when it has ended. A server that has answered this client before and goes away is
// waited for, for a minute: it may only be starting again.
func (c *Client) WaitExecution(ctx context.Context, id int64) (attune.Execution, error) {
	query := url.Values{"wait": {waitOnce.String()}}
	for {
		e, err := get[attune.Execution](ctx, c, executionPath(id, ""), query)
		if err == nil && e.Status.Final() {
			return e, nil
		}
		if err == nil {
			continue
		}
		absence, known := c.absent()
		if attune.ErrorCode(err) != attune.CodeUnavailable || !known || absence > waitOnce+maxAbsence {
			return e, err
		}
		if err := sleep(ctx, returnPause); err != nil {
			return e, err
		}
	}
}

// Filter selects executions; zero fields select all.
type Filter struct {
	Statuses []attune.Status
	Action   attune.Ref
	Pack     string
	Worker   string
	Parent   int64     // only what this execution has started; 0 for all
	Since    time.Time // created then or later
	Until    time.Time // created before
	Text     string    // in the action's ref, the worker's name or the error's message, A to Z in either case; or the id
	Limit    int       // 0: the server's default
	Cursor   string    // Page.NextCursor of the page before; "" for the newest
}

// Page is a part of a list, newest first.
type Page struct {
	Items      []attune.ExecutionSummary `json:"items"`
	NextCursor string                    `json:"next_cursor"` // "" after the last page
	Incomplete bool                      `json:"incomplete"`  // fewer than Limit: the server has looked at enough, and NextCursor goes on
}

// Executions returns a page of the executions that the filter selects.
func (c *Client) Executions(ctx context.Context, f Filter) (Page, error) {
	query := url.Values{}
	for _, status := range f.Statuses {
		query.Add("status", string(status))
	}
	for name, value := range map[string]string{
		"action": string(f.Action), "pack": f.Pack, "worker": f.Worker, "cursor": f.Cursor, "text": f.Text,
		"since": rfc3339(f.Since), "until": rfc3339(f.Until),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Parent != 0 {
		query.Set("parent", strconv.FormatInt(f.Parent, 10))
	}
	if f.Limit != 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[Page](ctx, c, "/executions", query)
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Cancel asks for an execution to be ended and returns it: cancelled, or canceling while its worker ends it.
func (c *Client) Cancel(ctx context.Context, id int64) (attune.Execution, error) {
	return post[attune.Execution](ctx, c, executionPath(id, "/cancel"))
}

// Rerun submits a new execution with the input of an earlier one.
func (c *Client) Rerun(ctx context.Context, id int64) (attune.Execution, error) {
	return post[attune.Execution](ctx, c, executionPath(id, "/rerun"))
}

// Delete removes an execution that has ended, with its artifacts.
func (c *Client) Delete(ctx context.Context, id int64) error {
	return c.do(ctx, call{method: http.MethodDelete, path: executionPath(id, "")}, nil)
}
