package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// kin says which executions an operation lets in, that call with a token of their own. One that does not say lets in none.
type kin struct {
	of string // for the document
	// may tells why the caller may not do it, nil if it may.
	may func(a *API, request huma.Context, caller *store.ExecutionRow) error
}

// forExecutions is the same access, and lets executions in.
func (a access) forExecutions(k kin) access {
	a.kin = k
	return a
}

// Who an operation on one execution is for.
func itself() kin  { return kin{"itself", relatives{itself: true}.may} }
func itsKids() kin { return kin{"what it has started", relatives{children: true}.may} }
func family() kin  { return kin{"itself, and what it has started", relatives{true, true}.may} }

// anyExecution is for operations that find out themselves what an execution may.
func anyExecution() kin {
	return kin{"any", func(*API, huma.Context, *store.ExecutionRow) error { return nil }}
}

// whatItStarts is for operations on one action: who may start it may know what it takes.
func whatItStarts() kin {
	return kin{"what it may start", func(a *API, request huma.Context, caller *store.ExecutionRow) error {
		return a.mayStart(request.Context(), caller, attune.Ref(request.Param("ref")))
	}}
}

// relatives are the executions that another one may do something with.
type relatives struct{ itself, children bool }

func (r relatives) may(a *API, request huma.Context, caller *store.ExecutionRow) error {
	row, err := a.named(request)
	switch {
	case err == nil && row.ID == caller.ID:
		if !r.itself {
			return attune.Errorf(attune.CodeDenied, "an execution can do this with what it has started, and not with itself")
		}
	case err == nil && row.Parent != nil && *row.Parent == caller.ID:
		if !r.children {
			return attune.Errorf(attune.CodeDenied, "an execution can do this with itself, and not with what it has started")
		}
	case err == nil, attune.ErrorCode(err) == attune.CodeNotFound:
		// Whether it is somebody else's, or nobody's, is not told.
		return attune.Errorf(attune.CodeNotFound, "there is no such execution within reach: the token is that of execution %d, "+
			"for itself and what it has started", caller.ID)
	}
	return err
}

// allowedToExecution refuses what an execution may not do.
func (a *API) allowedToExecution(request huma.Context, k kin, caller principal) error {
	if k.may == nil {
		return attune.Errorf(attune.CodeDenied, "this is not for executions, and the token is that of %s", caller.name)
	}
	return k.may(a, request, caller.execution)
}

// mayStart refuses what an execution's action does not list.
func (a *API) mayStart(ctx context.Context, caller *store.ExecutionRow, ref attune.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	action, err := a.cfg.Executions.ActionOf(ctx, *caller)
	if err == nil && !action.Starts(ref) {
		err = attune.Errorf(attune.CodeDenied, "%s may not start %s: may_start in its file lists what it may", action.Ref, ref)
	}
	return err
}
