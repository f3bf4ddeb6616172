package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
)

// Hooks are told what the API does. Each may be nil.
type Hooks struct {
	// Began is called when an operation begins, and what it returns when its answer is over, which of a stream is late.
	Began func(operation string) (over func())
	// Served is called when a request was answered: by which operation, "" for pages and for what no operation has seen.
	Served func(operation string, status int, took time.Duration)
	// Metrics writes what this process tells Prometheus, in its text format; nil: there is nothing.
	Metrics func(context.Context, io.Writer) error
}

// metricsType is the type of Prometheus's text format.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

func (a *API) registerMetrics(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-metrics", Method: http.MethodGet, Path: "/metrics", Tags: []string{systemTag},
		Summary: "Get the figures of this server, for Prometheus", Errors: []int{http.StatusNotFound},
		Responses: map[string]*huma.Response{"200": {
			Description: "the figures", Content: map[string]*huma.MediaType{metricsType: {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, everywhere(attune.RoleViewer)), inTime(a, a.getMetrics))
}

type metricsAnswer struct {
	Kind string `header:"Content-Type"`
	Body []byte
}

func (a *API) getMetrics(ctx context.Context, _ *struct{}) (*metricsAnswer, error) {
	if a.cfg.Metrics == nil {
		return nil, a.problem(ctx, "get the metrics", attune.Errorf(attune.CodeNotFound, "a command has no metrics: ask a server"))
	}
	var text bytes.Buffer
	err := a.cfg.Metrics(ctx, &text)
	return &metricsAnswer{metricsType, text.Bytes()}, a.problem(ctx, "get the metrics", err)
}

type operationKey struct{}

// observed tells Served of each request, which its operation names on the way.
func (a *API) observed(next http.Handler) http.Handler {
	if a.cfg.Served == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var operation string
		answer := &counted{ResponseWriter: w, status: http.StatusOK}
		begun := time.Now()
		defer func() { a.cfg.Served(operation, answer.status, time.Since(begun)) }() // also of one that panics, to break off
		next.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), operationKey{}, &operation)))
	})
}

// nameOperation names the operation that has a request, and tells of its beginning and its end.
func (a *API) nameOperation(request huma.Context, next func(huma.Context)) {
	id := request.Operation().OperationID
	if name, ok := request.Context().Value(operationKey{}).(*string); ok {
		*name = id
	}
	if a.cfg.Began != nil {
		defer a.cfg.Began(id)()
	}
	next(request)
}

// counted remembers the status of an answer.
type counted struct {
	http.ResponseWriter
	status int
}

// WriteHeader begins the answer.
func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Flush sends what was written.
func (c *counted) Flush() {
	if flusher, ok := c.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
