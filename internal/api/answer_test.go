package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// TestDatabaseThatNeverAnswersIsAway: somebody else has locked every table, so that statements are taken and not
// answered.
func TestDatabaseThatNeverAnswersIsAway(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	s, operations := newServerOn(t, db, func(c *api.Config) { c.AnswerTime = 300 * time.Millisecond })
	lock, err := db.Raw(t).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback()
	const tables = "LOCK TABLE pack, archive, action, worker, runtime, execution, execution_attempt, artifact, key, audit, token IN ACCESS EXCLUSIVE MODE"
	if _, err := lock.ExecContext(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	noDatabase := map[string]bool{"/healthz": true, "/readyz": true, "/api/v1/version": true, "/api/v1/events": true, "/api/v1/caller": true, "/metrics": true}
	var asking sync.WaitGroup
	for _, o := range documented(t, operations) {
		if noDatabase[o.path] {
			continue
		}
		asking.Go(func() { s.wantAway(o, o.target("", "")) })
	}
	asking.Go(func() { s.wantAway(operation{method: http.MethodGet}, "/api/v1/executions/1?wait=60s") })
	asking.Go(func() { s.wantAway(operation{method: http.MethodGet}, "/api/v1/executions/1/logs/stdout?follow=true") })
	asking.Wait()
}

func (s *server) wantAway(o operation, target string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // before the session's own limits
	defer cancel()
	body, kind := `{"action":"core.noop"}`, "application/json"
	if o.path == "/api/v1/keys/{key}" && o.method == http.MethodPut {
		body = `{"value":"long-enough"}`
	}
	if o.path == "/api/v1/tokens" && o.method == http.MethodPost {
		body = `{"name":"n","role":"viewer"}`
	}
	if o.path == "/api/v1/packs" && o.method == http.MethodPost {
		body, kind = string(archiveOf(s.t, demo("1", "x"))), "application/gzip"
	}
	if o.method == http.MethodDelete && strings.HasPrefix(o.path, "/api/v1/packs/") {
		target = "/api/v1/packs/demo" // core stays anyway
	}
	request, err := http.NewRequestWithContext(ctx, o.method, s.url+target, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {kind}}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		s.t.Errorf("%s %s: %v", o.method, target, err)
		return
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	defer answer.Body.Close()
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		s.t.Errorf("%s %s: %d, want 503 with Retry-After", o.method, target, answer.StatusCode)
	}
}
