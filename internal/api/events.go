package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
)

// keepAlive is how often a silent stream says that it is there: proxies cut connections that are idle for a minute.
const keepAlive = 15 * time.Second

func (a *API) registerEvents(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/api/v1/events", Tags: []string{executionTag},
		Summary: "Follow changes of status as server-sent events",
		Description: "Each event is named status, and its data is the payload of ExecutionStatusChanged. Only changes from " +
			"now on are sent. The stream ends when its reader is too slow: read the executions again, then.",
		Responses: map[string]*huma.Response{"200": {
			Description: "the events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, within(attune.RoleViewer)), a.streamEvents)
}

func (a *API) streamEvents(_ context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		changes, stop := a.watchers.feed()
		defer stop()
		answer.SetHeader("Content-Type", "text/event-stream")
		answer.SetHeader("Cache-Control", "no-store")
		answer.SetStatus(http.StatusOK)
		// An error means that the reader has gone, which is how these streams end.
		_ = writeEvents(answer.Context(), flushing{answer.BodyWriter()}, changes, who(answer.Context()))
	}}, nil
}

func writeEvents(ctx context.Context, w io.Writer, changes <-chan broker.ExecutionStatusChanged, reader principal) error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	if _, err := io.WriteString(w, ": the changes from now on\n\n"); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-alive.C:
			if _, err := io.WriteString(w, ": still here\n\n"); err != nil {
				return err
			}
		case change, ok := <-changes:
			if !ok {
				return nil
			}
			if !reader.reaches(change.ActionRef.Pack()) {
				continue
			}
			data, err := json.Marshal(change)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "event: status\ndata: %s\n\n", data); err != nil {
				return err
			}
		}
	}
}
