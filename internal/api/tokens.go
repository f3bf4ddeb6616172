package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

const tokenTag = "tokens"

func (a *API) registerTokens(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/api/v1/tokens", Tags: []string{tokenTag},
		Summary: "List the tokens, without their secret parts",
	}, everywhere(attune.RoleAdmin)), inTime(a, a.listTokens))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/api/v1/tokens", Tags: []string{tokenTag},
		Summary: "Create a token", Description: "Its secret part is in this answer and nowhere else.", DefaultStatus: http.StatusCreated,
	}, everywhere(attune.RoleAdmin)), inTime(a, a.createToken))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/api/v1/tokens/{id}", Tags: []string{tokenTag},
		Summary: "Revoke a token: it lets nobody in any more", DefaultStatus: http.StatusNoContent,
	}, everywhere(attune.RoleAdmin)), inTime(a, a.revokeToken))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-caller", Method: http.MethodGet, Path: "/api/v1/caller", Tags: []string{tokenTag},
		Summary: "Tell who calls, and what may be done",
	}, within(attune.RoleViewer).forExecutions(anyExecution())), a.getCaller)
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-audit-events", Method: http.MethodGet, Path: "/api/v1/audit", Tags: []string{tokenTag},
		Summary: "Read the audit log, the newest first: who ran, cancelled, changed or revealed what",
	}, everywhere(attune.RoleAdmin)), inTime(a, a.listAudit))
}

type tokenList struct {
	Body struct {
		Items []attune.Token `json:"items"`
	}
}

func (a *API) listTokens(ctx context.Context, _ *struct{}) (*tokenList, error) {
	rows, err := a.cfg.Store.Read().Tokens(ctx)
	if err != nil {
		return nil, a.problem(ctx, "list tokens", err)
	}
	answer := &tokenList{}
	answer.Body.Items = make([]attune.Token, len(rows))
	for i, row := range rows {
		answer.Body.Items[i] = row.Token
	}
	return answer, nil
}

type createTokenInput struct {
	Body struct {
		Name           string      `json:"name" minLength:"1" maxLength:"100" doc:"what it is for" example:"nightly deploys"`
		Role           attune.Role `json:"role" enum:"viewer,operator,admin"`
		Packs          []string    `json:"packs,omitempty" maxItems:"100" doc:"only for these; none is everything"`
		ExpiresSeconds float64     `json:"expires_seconds,omitempty" minimum:"0" maximum:"3153600000" doc:"0 is never"`
	}
}

type createdToken struct {
	Body attune.NewToken
}

func (a *API) createToken(ctx context.Context, in *createTokenInput) (*createdToken, error) {
	const doing = "create a token"
	if err := attune.CheckTokenName(in.Body.Name); err != nil {
		return nil, a.problem(ctx, doing, invalidField("body.name", err.Error()))
	}
	for i, pack := range in.Body.Packs {
		if err := attune.CheckPackRef(pack); err != nil {
			return nil, a.problem(ctx, doing, invalidField("body.packs["+strconv.Itoa(i)+"]", err.Error()))
		}
	}
	answer := &createdToken{}
	answer.Body.Secret = secret.NewToken()
	hash := sha256.Sum256([]byte(answer.Body.Secret))
	row := store.TokenRow{Hash: hash[:], Token: attune.Token{
		Name: in.Body.Name, Role: in.Body.Role, Packs: in.Body.Packs, CreatedBy: who(ctx).name,
	}}
	lasts := time.Duration(in.Body.ExpiresSeconds * float64(time.Second))
	err := a.audited(ctx, "token created", func(q *store.Queries) (subject string, err error) {
		if row, err = q.PutToken(ctx, row, lasts); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: %s of %s", tokenActor(row.Token), row.Role, reachText(row.Packs)), nil
	})
	answer.Body.Token = row.Token
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	return answer, nil
}

func reachText(packs []string) string {
	if len(packs) == 0 {
		return "everything"
	}
	return fmt.Sprint("packs ", packs)
}

type tokenPath struct {
	ID int64 `path:"id" minimum:"1" doc:"the token's id"`
}

func (a *API) revokeToken(ctx context.Context, in *tokenPath) (*struct{}, error) {
	err := a.audited(ctx, "token revoked", func(q *store.Queries) (subject string, err error) {
		row, err := q.DeleteToken(ctx, in.ID)
		return tokenActor(row.Token), err
	})
	return nil, a.problem(ctx, "revoke a token", err)
}

type callerAnswer struct {
	Body struct {
		Name      string      `json:"name" doc:"as the audit log has it"`
		Role      attune.Role `json:"role" doc:"of an execution it is empty: it may what is its own"`
		Packs     []string    `json:"packs" doc:"all that can be reached; none is everything"`
		Execution *int64      `json:"execution" doc:"the one that calls with its own token; null for all others"`
	}
}

func (a *API) getCaller(ctx context.Context, _ *struct{}) (*callerAnswer, error) {
	caller, answer := who(ctx), &callerAnswer{}
	answer.Body.Name, answer.Body.Role, answer.Body.Packs = caller.name, caller.role, append([]string{}, caller.packs...)
	if caller.execution != nil {
		answer.Body.Execution = &caller.execution.ID
	}
	return answer, nil
}

type listAuditInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"at most so many"`
	Cursor string `query:"cursor" pattern:"^[1-9][0-9]{0,18}$" doc:"next_cursor of the page before"`
}

type auditPage struct {
	Body struct {
		Items      []attune.AuditEvent `json:"items"`
		NextCursor *string             `json:"next_cursor" doc:"null after the last page"`
	}
}

func (a *API) listAudit(ctx context.Context, in *listAuditInput) (*auditPage, error) {
	const doing = "read the audit log"
	below, err := parseCursor(in.Cursor)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	events, err := a.cfg.Store.Read().Audited(ctx, below, in.Limit+1) // one more tells whether more follow
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	page := &auditPage{}
	if len(events) > in.Limit {
		events = events[:in.Limit]
		page.Body.NextCursor = cursor(events[len(events)-1].ID)
	}
	page.Body.Items = append([]attune.AuditEvent{}, events...)
	return page, nil
}
