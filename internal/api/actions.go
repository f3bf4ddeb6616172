package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
)

const actionTag = "actions"

func (a *API) registerActions(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-actions", Method: http.MethodGet, Path: "/api/v1/actions", Tags: []string{actionTag},
		Summary: "List the installed actions",
	}, within(attune.RoleViewer)), inTime(a, a.listActions))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-action", Method: http.MethodGet, Path: "/api/v1/actions/{ref}", Tags: []string{actionTag},
		Summary: "Get an action", Description: "Its parameters are a JSON Schema.",
	}, ofAction(attune.RoleViewer).forExecutions(whatItStarts())), inTime(a, a.getAction))
}

type listActionsInput struct {
	Pack string `query:"pack" doc:"only of this pack"`
}

type actionList struct {
	Body struct {
		Items []attune.Action `json:"items"`
	}
}

type oneAction struct {
	Ref string `path:"ref" doc:"the action's ref" example:"core.echo"`
}

type actionAnswer struct {
	Body attune.Action
}

func (a *API) listActions(ctx context.Context, in *listActionsInput) (*actionList, error) {
	stored, err := a.cfg.Store.Read().Actions(ctx, in.Pack)
	if err != nil {
		return nil, a.problem(ctx, "list actions", err)
	}
	answer := &actionList{}
	answer.Body.Items = []attune.Action{}
	for _, each := range stored {
		if who(ctx).reaches(each.Ref.Pack()) {
			answer.Body.Items = append(answer.Body.Items, each.Action)
		}
	}
	return answer, nil
}

func (a *API) getAction(ctx context.Context, in *oneAction) (*actionAnswer, error) {
	ref, err := attune.ParseRef(in.Ref)
	if err != nil {
		return nil, a.problem(ctx, "get an action", err)
	}
	stored, err := a.cfg.Store.Read().Action(ctx, ref)
	if err != nil {
		return nil, a.problem(ctx, "get an action", err)
	}
	return &actionAnswer{Body: stored.Action}, nil
}
