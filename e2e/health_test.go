package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
)

// health is where a daemon has said that its worker.port is.
func (h *host) health(d *daemon) string {
	h.t.Helper()
	found := regexp.MustCompile(`"msg":"health and metrics are at","url":"([^"]+)"`).FindStringSubmatch(d.log.String())
	if found == nil {
		h.t.Fatalf("it has not said where:\n%s", d.log)
	}
	return found[1]
}

// ask makes a request as a probe does, without a token.
func (h *host) ask(method, url string) (int, string) {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), method, url, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestWorkerTellsOfItsHealth asks a worker at worker.port while it is idle, busy, and drains.
func TestWorkerTellsOfItsHealth(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as, "ATTUNE__WORKER__PORT=0", "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=1", "ATTUNE__WORKER__MIN_FREE=disk=0,inodes=0,memory=0,open_files=0")
		s := h.up()
		url := h.health(s.worker)
		ready := func() (status int, told struct {
			Status    string
			Reasons   map[string]string
			Slots     int
			SlotsUsed int `json:"slots_used"`
		}) {
			status, text := h.ask(http.MethodGet, url+"/readyz")
			_ = json.Unmarshal([]byte(text), &told)
			return status, told
		}
		if status, text := h.ask(http.MethodGet, url+"/healthz"); status != 200 || strings.TrimSpace(text) != `{"status":"ok"}` {
			t.Errorf("%d %s", status, text)
		}
		h.eventually("the worker is ready", func() bool {
			status, told := ready()
			return status == 200 && told.Status == "ready" && told.Slots == 1 && told.SlotsUsed == 0
		})
		e := h.submit(s.Client, script("echo out; echo error >&2; "+untilHeld, map[string]string{"hold": h.hold}))
		h.becomes(s.Client, e, attune.StatusRunning)
		if status, told := ready(); status != 200 || told.Status != "ready" || told.SlotsUsed != 1 {
			t.Errorf("one that is busy is ready: %d %+v", status, told)
		}
		if _, err := s.SetWorker(t.Context(), "w", "drain"); err != nil {
			t.Fatal(err)
		}
		h.eventually("the worker says that it drains", func() bool {
			status, told := ready()
			return status == 503 && told.Status == "not ready" && strings.Contains(told.Reasons["worker"], "drains")
		})
		_, text := h.ask(http.MethodGet, url+"/metrics")
		for _, line := range []string{
			"attune_worker_slots 1", "attune_worker_slots_used 1", "attune_worker_ready 0", "attune_worker_spool_results 0",
			`attune_worker_isolation_info{level="process"} 1`, "attune_worker_heartbeats_late 0",
		} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("there is no %s:\n%s", line, text)
			}
		}
		if strings.Contains(text, h.dir) || strings.Contains(text, "postgres://") {
			t.Error("it tells what nobody need know")
		}
		for path, want := range map[string]int{"/": 404, "/api/v1/executions": 404, "/debug/pprof/": 404} {
			if status, text := h.ask(http.MethodGet, url+path); status != want {
				t.Errorf("%s: %d %s", path, status, text)
			}
		}
		if status, text := h.ask(http.MethodPost, url+"/readyz"); status != 405 {
			t.Errorf("%d %s", status, text)
		}
		h.touch(h.hold)
		<-s.worker.ended
		if s.worker.err != nil {
			t.Errorf("a drained worker ends with %v", s.worker.err)
		}
	})
}

func TestWorkerPortThatIsTakenIsTold(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded, "ATTUNE__WORKER__PORT=0")
	s := h.up()
	taken := strings.TrimPrefix(h.health(s.worker), "http://")
	other := newHost(t, embedded, "ATTUNE__WORKER__PORT="+taken)
	cmd := other.command("up")
	out, err := cmd.CombinedOutput()
	if exitStatus(err) != 4 || !strings.Contains(string(out), "worker.port") {
		t.Errorf("%v: %s", err, out)
	}
}
