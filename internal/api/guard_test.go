package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
)

func TestNoHeaderOfARequestMakesAHandlerPanic(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, accept := range []string{";,;", ",", ";", "a;", ";q=", "text/html", "application/json;q=0", "*/*;,"} {
		for _, path := range []string{"/healthz", "/api/v1/executions", "/api/v1/executions/99"} {
			request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+token)
			request.Header.Set("Accept", accept)
			if status, body := s.do(request); status != 200 && status != 404 || !strings.HasPrefix(body, "{") {
				t.Errorf("Accept: %s at %s: %d %s", accept, path, status, body)
			}
		}
	}
}

func TestHandlerThatPanicsIsAnsweredForAndLoggedOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.begin(s.echo().ID)
	var log bytes.Buffer
	panicking := api.New(api.Config{
		Store: s.store, Executions: s.executions, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Artifacts: func(string) (*artifact.Store, error) { panic("a fault of ours") },
	})
	answer := httptest.NewRecorder()
	panicking.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/v1/executions/1/artifacts", nil))
	if answer.Code != 500 || answer.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s %s", answer.Code, answer.Header(), answer.Body)
	}
	if strings.Contains(answer.Body.String(), "a fault of ours") {
		t.Errorf("the answer tells what is for the log: %s", answer.Body)
	}
	if n := strings.Count(log.String(), "a fault of ours"); n != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("logged %d times: %s", n, &log)
	}
}

func TestServerThatStopsSaysSoWhateverStopsIt(t *testing.T) {
	t.Parallel()
	_, operations := newDeafServer(t)
	for _, path := range []string{"/api/v1/executions/1?wait=30s", "/api/v1/executions/1/logs/stdout?follow=1"} {
		ctx, stop := context.WithCancelCause(context.Background())
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		stop(errors.New("interrupt"))
		operations.Handler().ServeHTTP(answer, request)
		if answer.Code != 503 || !strings.Contains(answer.Body.String(), "the server is stopping") || answer.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}
