package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

const systemTag = "system"

func (a *API) registerSystem(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-version", Method: http.MethodGet, Path: "/api/v1/version", Tags: []string{systemTag},
		Summary: "Get the server's version",
	}, within(attune.RoleViewer)), a.getVersion)
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
		Degraded []string          `json:"degraded,omitempty" doc:"message_queue: it is away, and all goes on more slowly. workers: some take nothing new"`
		Reasons  map[string]string `json:"reasons,omitempty" doc:"why, by what is degraded"`
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
	short, err := a.cfg.Store.Read().Short(ctx)
	if err != nil {
		a.readiness.Warn("not ready", err, "part", "database")
		return nil, describe(http.StatusServiceUnavailable, "degraded: the database does not answer", nil)
	}
	a.readiness.Over("ready again", "part", "database")
	answer := &statusAnswer{}
	answer.Body.Status = "ready"
	degraded := func(part, why string) {
		answer.Body.Status = "degraded"
		answer.Body.Degraded = append(answer.Body.Degraded, part)
		if answer.Body.Reasons == nil {
			answer.Body.Reasons = map[string]string{}
		}
		answer.Body.Reasons[part] = why
	}
	if a.cfg.MessagesAway != nil {
		if why := a.cfg.MessagesAway(); why != nil {
			degraded("message_queue", awayText(why))
		}
	}
	if len(short) > 0 {
		degraded("workers", shortText(short))
	}
	return answer, nil
}

// shortText says what workers are short of to whoever asks: which ones, and how much there is, is for `worker list`.
func shortText(workers []store.WorkerRow) string {
	var all []attune.Shortage
	for _, w := range workers {
		all = append(all, w.ShortOf...)
	}
	what := attune.ShortOfText(all)
	if len(workers) == 1 {
		return "1 worker takes nothing new, its host is short of " + what
	}
	return fmt.Sprintf("%d workers take nothing new, their hosts are short of %s", len(workers), what)
}

// awayText says why the broker is away to whoever asks: what names users and virtual hosts is for the log.
func awayText(why error) string {
	var refused *broker.RefusedError
	if errors.As(why, &refused) {
		return "RabbitMQ refuses the connection: " + refused.Answer + ": the server's log says more"
	}
	return "there is no connection to RabbitMQ"
}
