package daemon_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/daemon"
)

// scrape asks as Prometheus does, and returns the status and the text.
func scrape(t *testing.T, url, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1")
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode == http.StatusOK && !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("it is of type %s", kind)
	}
	return answer.StatusCode, string(text)
}

// valueOf is what a metric says; name has its labels.
func valueOf(text, name string) (float64, bool) {
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(found[1], 64)
	return value, err == nil
}

// eventually scrapes until the metrics are as wanted: what is looked at is up to two seconds old.
func eventually(t *testing.T, url, token string, want map[string]float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_, text := scrape(t, url, token)
		missing := ""
		for name, value := range want {
			if got, ok := valueOf(text, name); !ok || got != value {
				missing = name
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s is not %v:\n%s", missing, want[missing], text)
		case <-tick.C:
		}
	}
}

func TestMetricsTellWhatWasDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up(t, open(t, dir))
	server, token, _ := daemon.FindServer(dir)
	c := client.New(client.Config{BaseURL: server.URL, Token: token})
	defer c.Close()
	for _, submission := range []client.Submission{
		{Action: "core.noop"}, {Script: &client.Script{Name: "a.sh", Content: "echo hello\nexit 3\n"}},
	} {
		e, err := c.Submit(t.Context(), submission)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WaitExecution(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Execution(t.Context(), 999); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Fatal(err)
	}
	if _, err := c.SetWorker(t.Context(), "h", "cordon"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Submit(t.Context(), client.Submission{Action: "core.noop"}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, server.URL, token, map[string]float64{
		"attune_executions_submitted_total": 5, "attune_messages_unpublished_total": 0,
		`attune_executions_ended_total{status="completed"}`: 1, `attune_executions_ended_total{status="failed"}`: 1,
		`attune_executions_ended_total{status="timeout"}`: 0, `attune_execution_duration_seconds_count{status="completed"}`: 1,
		`attune_execution_wait_seconds_count`: 2, `attune_executions_waiting{reason="worker"}`: 3, `attune_executions_waiting{reason="slot"}`: 0,
		`attune_executions_held{status="running"}`: 0, `attune_workers{status="cordoned"}`: 1, `attune_workers{status="active"}`: 0,
		`attune_workers_slots{worker="h"}`: 10, `attune_workers_slots_used{worker="h"}`: 0, "attune_database_up": 1, "attune_broker_connected": 1,
		`attune_http_requests_total{operation="submit-execution",status="2xx"}`: 5, `attune_http_requests_total{operation="get-execution",status="4xx"}`: 1,
		`attune_http_requests_in_flight{operation="get-metrics"}`: 1, `attune_http_requests_in_flight{operation="submit-execution"}`: 0,
		`attune_worker_attempts_total{status="completed"}`: 1, `attune_worker_attempts_total{status="failed"}`: 1, "attune_worker_slots": 10,
		`attune_worker_output_bytes_total{stream="stdout"}`: 6, `attune_worker_output_dropped_bytes_total{stream="stdout"}`: 0, "attune_worker_spool_results": 0,
		`attune_worker_isolation_info{level="process"}`: 1, "attune_worker_heartbeats_late": 0, `attune_database_failures_total{kind="unavailable"}`: 0,
	})
	_, text := scrape(t, server.URL, token)
	for _, family := range []string{"attune_build_info{", "go_goroutines ", "process_resident_memory_bytes ", "attune_executions_oldest_waiting_seconds "} {
		if !strings.Contains(text, "\n"+family) {
			t.Errorf("there is no %s", family)
		}
	}
	if strings.Contains(text, "/api/") || strings.Contains(text, token) {
		t.Error("there are paths, or the token")
	}
}

func TestMetricsAreNotForEverybody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up(t, open(t, dir))
	server, token, _ := daemon.FindServer(dir)
	c := client.New(client.Config{BaseURL: server.URL, Token: token})
	defer c.Close()
	for want, request := range map[int]client.TokenRequest{
		http.StatusOK: {Name: "prometheus", Role: attune.RoleViewer}, http.StatusForbidden: {Name: "web", Role: attune.RoleAdmin, Packs: []string{"web"}},
	} {
		made, err := c.CreateToken(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if status, text := scrape(t, server.URL, made.Secret); status != want {
			t.Errorf("%s: %d %.300s", request.Name, status, text)
		}
	}
	if status, text := scrape(t, server.URL, ""); status != http.StatusUnauthorized {
		t.Errorf("nobody: %d %.300s", status, text)
	}
}
