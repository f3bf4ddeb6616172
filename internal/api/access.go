package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// access is what an operation asks of who calls it.
type access struct {
	role attune.Role
	// pack returns whose a request's thing is. Who is limited to packs gets to no other: what it is not to see is not there.
	pack func(*API, huma.Context) (string, error)
	// partly is for operations that themselves leave out, or refuse, what is of other packs.
	partly bool
	kin    kin
}

// accessKey is where the metadata of an operation have its access.
const accessKey = "access"

// needs says what an operation asks for, in its metadata and its document. One that does not say lets nobody in.
func needs(operation huma.Operation, a access) huma.Operation {
	operation.Metadata = map[string]any{accessKey: a}
	operation.Extensions = map[string]any{"x-attune-role": a.role}
	if a.kin.of != "" {
		operation.Extensions["x-attune-execution"] = a.kin.of
	}
	operation.Errors = append(operation.Errors, http.StatusForbidden)
	return operation
}

// everywhere is for operations that concern all packs, or none: not for who is limited to some.
func everywhere(role attune.Role) access { return access{role: role} }

// within is for operations on what the caller may see, which they find out themselves.
func within(role attune.Role) access { return access{role: role, partly: true} }

// ofExecution is for operations on one execution.
func ofExecution(role attune.Role) access {
	return access{role: role, pack: func(a *API, request huma.Context) (string, error) {
		row, err := a.named(request)
		return row.Action.Pack(), err
	}}
}

// named returns the execution that a request's path names.
func (a *API) named(request huma.Context) (row store.ExecutionRow, err error) {
	id, err := strconv.ParseInt(request.Param("id"), 10, 64)
	if err != nil {
		return row, invalidField("path.id", "is no id of an execution")
	}
	return a.row(request.Context(), id)
}

// ofAction is for operations on one action.
func ofAction(role attune.Role) access {
	return access{role: role, pack: func(_ *API, request huma.Context) (string, error) {
		return attune.Ref(request.Param("ref")).Pack(), nil
	}}
}

// ofPack is for operations on one pack.
func ofPack(role attune.Role) access {
	return access{role: role, pack: func(_ *API, request huma.Context) (string, error) { return request.Param("ref"), nil }}
}

// ofKey is for operations on one key: of the keys of the system no pack is the owner.
func ofKey(role attune.Role) access {
	return access{role: role, pack: func(_ *API, request huma.Context) (string, error) {
		if pack := request.Query("pack"); pack != "" {
			return pack, nil
		}
		return attune.Ref(request.Query("action")).Pack(), nil
	}}
}

// checkAccess refuses what the caller may not do.
func (a *API) checkAccess(operations huma.API) func(huma.Context, func(huma.Context)) {
	return func(request huma.Context, next func(huma.Context)) {
		if open(request.Operation().Path) {
			next(request)
			return
		}
		if err := a.allowed(request); err != nil {
			a.refuse(operations, request, err)
			return
		}
		next(request)
	}
}

func (a *API) allowed(request huma.Context) error {
	needed, ok := request.Operation().Metadata[accessKey].(access)
	caller := who(request.Context())
	if caller.execution != nil {
		return a.allowedToExecution(request, needed.kin, caller)
	}
	switch {
	case !ok || !caller.role.Covers(needed.role):
		return attune.Errorf(attune.CodeDenied, "this needs the role %s, and the token has %s", needed.role, caller.role)
	case caller.packs == nil || needed.partly:
		return nil
	case needed.pack == nil:
		return attune.Errorf(attune.CodeDenied, "this concerns all packs, and %s", caller.limits())
	}
	pack, err := needed.pack(a, request)
	if err == nil && !caller.reaches(pack) || attune.ErrorCode(err) == attune.CodeNotFound {
		// Whether it is somebody else's, or nobody's, is not told.
		return attune.Errorf(attune.CodeNotFound, "there is no such thing within reach: %s", caller.limits())
	}
	return err
}

func (a *API) refuse(operations huma.API, request huma.Context, err error) {
	answer := a.problem(request.Context(), "look who may do this", err)
	status := http.StatusInternalServerError
	var known huma.StatusError
	if errors.As(answer, &known) {
		status = known.GetStatus()
	}
	_ = huma.WriteErr(operations, request, status, answer.Error()) // an error means that the client has gone
}

// reach refuses what is of a pack that the caller does not reach.
func reach(ctx context.Context, pack string) error {
	if caller := who(ctx); !caller.reaches(pack) {
		return attune.Errorf(attune.CodeDenied, "this is of the pack %s, and %s", pack, caller.limits())
	}
	return nil
}
