package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune/internal/broker"
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
		Status   string            `json:"status" enum:"ok,ready,degraded"`
		Degraded []string          `json:"degraded,omitempty" doc:"what is away: message_queue. Requests are served all the same, more slowly"`
		Reasons  map[string]string `json:"reasons,omitempty" doc:"why it is away, by what is"`
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
		a.readiness.Warn("not ready", err, "part", "database")
		return nil, describe(http.StatusServiceUnavailable, "degraded: the database does not answer", nil)
	}
	a.readiness.Over("ready again", "part", "database")
	answer := &statusAnswer{}
	answer.Body.Status = "ready"
	if a.cfg.MessagesAway == nil {
		return answer, nil
	}
	if why := a.cfg.MessagesAway(); why != nil {
		answer.Body.Status, answer.Body.Degraded = "degraded", []string{messageQueue}
		answer.Body.Reasons = map[string]string{messageQueue: awayText(why)}
	}
	return answer, nil
}

const messageQueue = "message_queue"

// awayText says why the broker is away to whoever asks: what names users and virtual hosts is for the log.
func awayText(why error) string {
	var refused *broker.RefusedError
	if errors.As(why, &refused) {
		return "RabbitMQ refuses the connection: " + refused.Answer + ": the server's log says more"
	}
	return "there is no connection to RabbitMQ"
}
