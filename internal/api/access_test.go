package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/broker"
)

var update = flag.Bool("update", false, "write testdata/openapi.json anew")

func TestOnlyTheTokenLetsIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, test := range []struct {
		path, authorization string
		status              int
	}{
		{"/healthz", "", 200}, {"/readyz", "", 200},
		{"/api/v1/executions", "", 401}, {"/api/v1/version", "", 401}, {"/openapi.json", "", 401}, {"/docs", "", 401},
		{"/", "", 401}, {"/nowhere", "", 401},
		{"/api/v1/executions", "Bearer wrong", 401}, {"/api/v1/executions", "Bearer", 401},
		{"/api/v1/executions", "Basic " + token, 401}, {"/api/v1/executions", token, 401},
		{"/api/v1/executions", "Bearer " + token + "x", 401}, {"/api/v1/executions", "Bearer " + token, 200},
		{"/api/v1/executions", "bearer " + token, 200},
	} {
		request, err := http.NewRequest(http.MethodGet, s.url+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.authorization != "" {
			request.Header.Set("Authorization", test.authorization)
		}
		if status, body := s.do(request); status != test.status {
			t.Errorf("%s with %q: %d %s", test.path, test.authorization, status, body)
		}
	}
}

func TestNowhereAndWrongMethodsAreProblems(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.wantProblem(http.MethodGet, "/api/v1/nothing", "", 404, "/docs")
	s.wantProblem(http.MethodGet, "/nowhere", "", 404, "/docs")
	s.wantProblem(http.MethodPut, "/api/v1/executions", "{}", 405, "POST")
	s.wantProblem(http.MethodPost, "/openapi.json", "{}", 405, "GET")
}

func TestReadinessTellsOfTheDatabase(t *testing.T) {
	t.Parallel()
	s, _ := newDeafServer(t)
	if status, body := s.send(http.MethodGet, "/readyz", ""); status != 200 || !strings.Contains(body, "ready") {
		t.Errorf("%d %s", status, body)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.wantProblem(http.MethodGet, "/readyz", "", 503, "database")
	if status, _ := s.send(http.MethodGet, "/healthz", ""); status != 200 {
		t.Errorf("the process is well, and /healthz says %d", status)
	}
	s.wantProblem(http.MethodGet, "/api/v1/executions", "", 500, "log")
}

func TestReadinessTellsWhyThereAreNoMessages(t *testing.T) {
	t.Parallel()
	s, _ := newDeafServer(t)
	away := error(nil)
	operations := api.New(api.Config{
		Store: s.store, Logger: slog.New(slog.DiscardHandler), MessagesAway: func() error { return away },
	})
	for _, test := range []struct {
		away error
		want string
	}{
		{nil, `{"status":"ready"}`},
		{errors.New("refused by nobody"), `{"status":"degraded","degraded":["message_queue"],` +
			`"reasons":{"message_queue":"there is no connection to RabbitMQ"}}`},
		{fmt.Errorf("no connection: %w", &broker.RefusedError{Answer: "NOT_ALLOWED", Err: errors.New("user u, vhost v")}),
			`{"status":"degraded","degraded":["message_queue"],` +
				`"reasons":{"message_queue":"RabbitMQ refuses the connection: NOT_ALLOWED: the server's log says more"}}`},
	} {
		away = test.away
		answer := httptest.NewRecorder()
		operations.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if got := strings.TrimSpace(answer.Body.String()); answer.Code != 200 || got != test.want {
			t.Errorf("%d %s, want %s", answer.Code, got, test.want)
		}
	}
}

func TestSteeringWorkers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx := context.Background()
	for _, step := range []struct {
		verb string
		want attune.WorkerStatus // "" for refused
	}{
		{"uncordon", attune.WorkerActive}, {"cordon", attune.WorkerCordoned}, {"cordon", attune.WorkerCordoned},
		{"uncordon", attune.WorkerActive}, {"drain", attune.WorkerDraining}, {"drain", attune.WorkerDraining},
		{"cordon", ""}, {"uncordon", ""},
	} {
		w, err := s.SetWorker(ctx, "w1", step.verb)
		if step.want == "" {
			if attune.ErrorCode(err) != attune.CodeConflict {
				t.Errorf("%s: %v", step.verb, err)
			}
			continue
		}
		if err != nil || w.Status != step.want {
			t.Errorf("%s: %s, %v", step.verb, w.Status, err)
		}
	}
	byID, err := s.Worker(ctx, "1")
	if err != nil || byID.Name != "w1" {
		t.Errorf("%+v %v", byID, err)
	}
	s.wantProblem(http.MethodPost, "/api/v1/workers/none/cordon", "", 404, "attune worker list")
	s.wantProblem(http.MethodPost, "/api/v1/workers/w1/destroy", "", 404, "")
}

func TestDocumentIsAsCheckedIn(t *testing.T) {
	t.Parallel()
	document, err := api.New(api.Config{Version: "golden"}).Document()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, document, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != string(document) {
		t.Errorf("%v: the API has changed: look at `go test ./internal/api -update; git diff`", err)
	}
	var parsed struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Summary string `json:"summary"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(document, &parsed); err != nil || !strings.HasPrefix(parsed.OpenAPI, "3.1.") {
		t.Fatalf("%q %v", parsed.OpenAPI, err)
	}
	for path, methods := range parsed.Paths {
		for method, operation := range methods {
			if operation.Summary == "" || strings.Contains(path, "...") {
				t.Errorf("%s %s: %q", method, path, operation.Summary)
			}
		}
	}
}

func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	status, page := s.send(http.MethodGet, "/docs", "")
	if status != 200 || !strings.Contains(page, "/api/v1/executions/{id}/cancel") || strings.Contains(page, "http") {
		t.Errorf("%d %s", status, page)
	}
	if status, text := s.send(http.MethodGet, "/openapi.json", ""); status != 200 || !json.Valid([]byte(text)) {
		t.Errorf("%d %s", status, text)
	}
	version, err := s.Version(context.Background())
	if err != nil || version != "v1.2.3" {
		t.Errorf("%s %v", version, err)
	}
}

func TestUnknownServerSaysSo(t *testing.T) {
	t.Parallel()
	nobody := client.New(client.Config{BaseURL: "http://127.0.0.1:1"})
	defer nobody.Close()
	if _, err := nobody.Version(context.Background()); attune.ErrorCode(err) != attune.CodeUnavailable {
		t.Error(err)
	}
}
