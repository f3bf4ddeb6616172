package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

// maxSubmissionBytes bounds a submission: a script and parameters of 1 MiB each, with room for JSON's escapes.
const maxSubmissionBytes = 8 << 20

func (a *API) registerSubmit(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "submit-execution", Method: http.MethodPost, Path: "/api/v1/executions", Tags: []string{executionTag},
		Summary: "Run an action, or a script file in no pack", DefaultStatus: http.StatusCreated, MaxBodyBytes: maxSubmissionBytes,
		Description: "What an execution submits, with its own token, has it as its parent. Its idempotency keys are its own, " +
			"the same ones for all of its attempts.",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests},
	}, within(attune.RoleOperator).forExecutions(anyExecution())), inTime(a, a.submitExecution))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "rerun-execution", Method: http.MethodPost, Path: "/api/v1/executions/{id}/rerun",
		Tags: []string{executionTag}, Summary: "Run again with the same version of the action and the same input",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusTooManyRequests},
	}, ofExecution(attune.RoleOperator)), inTime(a, a.rerunExecution))
}

type submitInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" pattern:"^[ -~]*$" doc:"the same key with the same request gives the same execution"`
	Body           submission
}

// submission is the body of a request for an execution.
type submission struct {
	Action         string                     `json:"action,omitempty" doc:"the action's ref" example:"core.echo"`
	Script         *script                    `json:"script,omitempty" doc:"instead of action"`
	Parameters     map[string]json.RawMessage `json:"parameters,omitempty" doc:"as the action's schema has them"`
	Env            map[string]string          `json:"env,omitempty" doc:"variables for the action's environment"`
	Context        map[string]json.RawMessage `json:"context,omitempty" doc:"what $ATTUNE_CONTEXT_FILE will hold"`
	TimeoutSeconds float64                    `json:"timeout_seconds,omitempty" minimum:"0.001" maximum:"31536000" doc:"instead of the action's"`
	Trace          bool                       `json:"trace,omitempty" doc:"keep the steps with their times as trace.json"`
}

type script struct {
	Name    string `json:"name" minLength:"1" maxLength:"255" doc:"its ending tells the runtime" example:"greet.py"`
	Content string `json:"content"`
}

// submitted is the answer to a submission.
type submitted struct {
	Location string `header:"Location"`
	Body     attune.Execution
}

func (a *API) submitExecution(ctx context.Context, in *submitInput) (*submitted, error) {
	const doing = "submit an execution"
	checked, err := a.check(ctx, in.Body)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	caller := who(ctx)
	checked.IdempotencyKey, checked.By, checked.Parent = caller.ownKey(in.IdempotencyKey), caller.name, caller.execution
	if err := a.room(ctx, checked.IdempotencyKey); err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	if checked, err = a.seal(checked, in.Body); err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	row, _, err := a.cfg.Executions.Submit(ctx, checked)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	answer, err := a.accepted(ctx, row)
	return answer, a.problem(ctx, doing, err)
}

func (a *API) rerunExecution(ctx context.Context, in *ExecutionPath) (*submitted, error) {
	if err := a.room(ctx, ""); err != nil {
		return nil, a.problem(ctx, "rerun an execution", err)
	}
	row, err := a.cfg.Executions.Rerun(ctx, in.ID, a.pin(), who(ctx).name)
	if err != nil {
		return nil, a.problem(ctx, "rerun an execution", err)
	}
	answer, err := a.accepted(ctx, row)
	return answer, a.problem(ctx, "rerun an execution", err)
}

func (a *API) accepted(ctx context.Context, row store.ExecutionRow) (*submitted, error) {
	views, err := a.viewsBy(ctx, []store.ExecutionRow{row}, fleetAge)
	if err != nil {
		return nil, err
	}
	return &submitted{Location: "/api/v1/executions/" + strconv.FormatInt(row.ID, 10), Body: views[0]}, nil
}

func (a *API) pin() int64 {
	if a.cfg.Pin == nil {
		return 0
	}
	return a.cfg.Pin()
}

// seal takes the secret parameters out of what is stored in clear, the request's digest too: it could be guessed from
// that what they are.
func (a *API) seal(checked execution.Submission, asked submission) (execution.Submission, error) {
	shown, hidden, err := pack.Hide(checked.Action.Parameters, checked.Parameters)
	if err != nil {
		return checked, err
	}
	checked.Parameters = shown
	if checked.RequestDigest, err = asked.digest(shown); err != nil || hidden == nil {
		return checked, err
	}
	if len(hidden) > attune.MaxSecretBytes {
		return checked, invalidField("body.parameters", fmt.Sprintf("the secret ones have %d bytes as JSON: at most %d are possible",
			len(hidden), attune.MaxSecretBytes))
	}
	checked.Secrets, err = a.cfg.Keys.Seal(secret.OfParameters(checked.Action.Ref), hidden)
	return checked, keyless(err)
}

// digest tells whether two requests are the same, but for the values of secret parameters. The maps of a submission are
// encoded with sorted keys.
func (s submission) digest(parameters json.RawMessage) (string, error) {
	s.Parameters = nil
	text, err := json.Marshal(struct {
		submission
		Parameters json.RawMessage
	}{s, parameters})
	if err != nil {
		return "", fmt.Errorf("encode a submission: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// check turns a request into a Submission that can be stored, or says what is wrong with it.
func (a *API) check(ctx context.Context, s submission) (execution.Submission, error) {
	checked, err := a.target(ctx, s)
	if err != nil {
		return checked, err
	}
	if checked.Parameters, err = object(s.Parameters); err != nil {
		return checked, err
	}
	if _, err := pack.Parameters(checked.Action.Parameters, checked.Parameters, 0); err != nil {
		return checked, inBody(err)
	}
	if err := pack.CheckEnvironment(s.Env); err != nil {
		return checked, inBody(err)
	}
	if checked.Env, err = object(s.Env); err != nil {
		return checked, err
	}
	if checked.Context, err = object(s.Context); err != nil {
		return checked, err
	}
	if len(checked.Context) > pack.DefaultParameterBytes {
		return checked, invalidField("body.context", fmt.Sprintf("larger than %d bytes", pack.DefaultParameterBytes))
	}
	checked.Timeout = time.Duration(s.TimeoutSeconds * float64(time.Second))
	checked.Trace, checked.Pin = s.Trace, a.pin()
	return checked, nil
}

// ownKey keeps the idempotency keys of executions apart: two that run the same action use the same ones.
func (p principal) ownKey(key string) string {
	if p.execution == nil || key == "" {
		return key
	}
	return fmt.Sprintf("execution %d: %s", p.execution.ID, key)
}

// target finds the action that a request names, or makes that of its script.
func (a *API) target(ctx context.Context, s submission) (execution.Submission, error) {
	switch {
	case s.Action != "" && s.Script != nil:
		return execution.Submission{}, invalidField("body.script", "give action or script, not both")
	case s.Script != nil && who(ctx).execution != nil:
		return execution.Submission{}, attune.Errorf(attune.CodeDenied, "an execution can't start a script: put it into a pack, and list its action in may_start")
	case s.Script != nil:
		action, archive, err := pack.Script(s.Script.Name, []byte(s.Script.Content))
		if err == nil {
			err = reach(ctx, action.Ref.Pack())
		}
		return execution.Submission{Action: action, Archive: archive}, inBody(err)
	case s.Action == "":
		return execution.Submission{}, invalidField("body.action", "name an action (core.echo), or give a script")
	}
	ref, err := attune.ParseRef(s.Action)
	if err != nil {
		return execution.Submission{}, invalidField("body.action", err.Error())
	}
	if err := reach(ctx, ref.Pack()); err != nil {
		return execution.Submission{}, err
	}
	if caller := who(ctx).execution; caller != nil {
		if err := a.mayStart(ctx, caller, ref); err != nil {
			return execution.Submission{}, err
		}
	}
	stored, err := a.actions.Do(ctx, ref)
	return execution.Submission{Action: stored.Action, ActionID: stored.ID}, err
}

// object encodes a map; none is an empty object.
func object[V any](m map[string]V) (json.RawMessage, error) {
	if m == nil {
		return json.RawMessage("{}"), nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a submission: %w", err)
	}
	return text, nil
}
