package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

func (a *API) registerReveal(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "reveal-parameters", Method: http.MethodPost, Path: "/api/v1/executions/{id}/reveal", Tags: []string{executionTag},
		Summary:     "Get the parameters of an execution with the secret ones",
		Description: "Who did so, and when, is kept in the audit log.", Errors: []int{http.StatusConflict},
	}, ofExecution(attune.RoleAdmin)), inTime(a, a.revealParameters))
}

// executionSubject is what the audit log calls an execution.
func executionSubject(row store.ExecutionRow) string {
	return fmt.Sprintf("execution %d of %s", row.ID, row.Action)
}

type revealedParameters struct {
	Body struct {
		Parameters json.RawMessage `json:"parameters"`
	}
}

func (a *API) revealParameters(ctx context.Context, in *ExecutionPath) (*revealedParameters, error) {
	answer := &revealedParameters{}
	err := a.audited(ctx, "parameters revealed", func(q *store.Queries) (string, error) {
		row, err := q.Execution(ctx, in.ID)
		if err != nil {
			return "", err
		}
		if answer.Body.Parameters = row.Parameters; row.Secrets == nil {
			return "", nil
		}
		hidden, err := a.cfg.Keys.Open(secret.OfParameters(row.Action), row.Secrets)
		if err != nil {
			return "", attune.Errorf(attune.CodeConflict, "the parameters of execution %d can't be decrypted: %v", in.ID, err)
		}
		answer.Body.Parameters, err = pack.Reveal(row.Parameters, hidden)
		return executionSubject(row), err
	})
	if err != nil {
		return nil, a.problem(ctx, "reveal parameters", err)
	}
	return answer, nil
}
