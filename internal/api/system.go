package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const systemTag = "system"

func (a *API) registerSystem(operations huma.API) {
	huma.Register(operations, huma.Operation{
		OperationID: "get-version", Method: http.MethodGet, Path: "/api/v1/version", Tags: []string{systemTag},
		Summary: "Get the server's version",
	}, a.getVersion)
	noToken := []map[string][]string{}
	huma.Register(operations, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/healthz", Tags: []string{systemTag}, Security: noToken,
		Summary: "Tell that the process answers",
	}, a.getHealth)
	huma.Register(operations, huma.Operation{
		OperationID: "get-readiness", Method: http.MethodGet, Path: "/readyz", Tags: []string{systemTag}, Security: noToken,
		Summary: "Tell whether requests can be served", Errors: []int{http.StatusServiceUnavailable},
	}, a.getReadiness)
}

type versionAnswer struct {
	Body struct {
		Version string `json:"version"`
	}
}

func (a *API) getVersion(context.Context, *struct{}) (*versionAnswer, error) {
	answer := &versionAnswer{}
	answer.Body.Version = a.cfg.Version
	return answer, nil
}

type statusAnswer struct {
	Body struct {
		Status   string   `json:"status" enum:"ok,ready,degraded"`
		Degraded []string `json:"degraded,omitempty" doc:"what is away: message_queue. Requests are served all the same, more slowly"`
	}
}

func (a *API) getHealth(context.Context, *struct{}) (*statusAnswer, error) {
	answer := &statusAnswer{}
	answer.Body.Status = "ok"
	return answer, nil
}

// readyTime bounds how long a probe waits for the database.
const readyTime = 5 * time.Second

func (a *API) getReadiness(ctx context.Context, _ *struct{}) (*statusAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if err := a.cfg.Store.Ping(ctx); err != nil {
		a.log.Warn("not ready", "part", "database", "error", err)
		return nil, describe(http.StatusServiceUnavailable, "degraded: the database does not answer", nil)
	}
	answer := &statusAnswer{}
	answer.Body.Status = "ready"
	if a.cfg.MessagesCome != nil && !a.cfg.MessagesCome() {
		answer.Body.Status, answer.Body.Degraded = "degraded", []string{"message_queue"}
	}
	return answer, nil
}
