package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host/hosttest"
)

// readiness is the answer of /readyz, without a token.
func (s *system) readiness(t *testing.T) (status, workers string) {
	t.Helper()
	answer, err := http.Get(s.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", answer.Status, err)
	}
	var said struct {
		Status  string
		Reasons map[string]string
	}
	if err := json.Unmarshal(body, &said); err != nil {
		t.Fatal(err)
	}
	return said.Status, said.Reasons["workers"]
}

// TestFullDiskHoldsOffWhatIsNew fills the artifacts' disk while one execution runs and another one waits.
func TestFullDiskHoldsOffWhatIsNew(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as, "ATTUNE__WORKER__MIN_FREE=disk=8MiB,inodes=0,memory=0,open_files=0")
		hosttest.SmallDisk(t, h.artifacts(), "size=16m")
		s := h.up()
		runs := h.submit(s.Client, script(untilHeld, map[string]string{"hold": h.hold}))
		h.becomes(s.Client, runs, attune.StatusRunning)

		ballast := filepath.Join(h.artifacts(), "ballast")
		if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		h.eventually("the worker notices", func() bool {
			w, err := s.Worker(context.Background(), "w")
			return err == nil && len(w.ShortOf) == 1 && w.ShortOf[0].Resource == attune.ResourceDisk && strings.HasPrefix(w.ShortOf[0].Where, h.artifacts())
		})
		if status, why := s.readiness(t); status != "degraded" || why != "1 worker takes nothing new, its host is short of disk" {
			t.Errorf("/readyz says %s %q", status, why)
		}
		if text := h.attune(0, "worker", "list"); !strings.Contains(text, "active, short of disk") {
			t.Errorf("worker list says %s", text)
		}
		if text := h.attune(0, "worker", "show", "w"); !strings.Contains(text, "worker.min_free.disk is 8.0 MiB") {
			t.Errorf("worker show says %s", text)
		}
		waits := h.submit(s.Client, echo("late"))
		e, err := s.Execution(context.Background(), waits)
		if err != nil || e.Status != attune.StatusRequested || e.WaitingFor == nil || !strings.Contains(e.WaitingFor.Message, "short of disk") {
			t.Errorf("%+v %+v %v", e, e.WaitingFor, err)
		}
		if err := os.WriteFile(h.hold, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		h.becomes(s.Client, runs, attune.StatusCompleted) // and what ran has ended as ever
		if e, err = s.Execution(context.Background(), waits); err != nil || e.Status != attune.StatusRequested {
			t.Errorf("%+v %v", e, err)
		}

		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		h.becomes(s.Client, waits, attune.StatusCompleted)
		if status, why := s.readiness(t); status != "ready" {
			t.Errorf("/readyz says %s %q", status, why)
		}
	})
}

// TestStartsShort starts a worker on a disk that is full already.
func TestStartsShort(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as, "ATTUNE__WORKER__MIN_FREE=disk=32MiB,inodes=0,memory=0,open_files=0")
		hosttest.SmallDisk(t, h.artifacts(), "size=16m")
		s := h.up()
		w, err := s.Worker(context.Background(), "w")
		if err != nil || len(w.ShortOf) != 1 {
			t.Fatalf("%+v %v", w, err)
		}
		id := h.submit(s.Client, echo("never"))
		if e, err := s.Execution(context.Background(), id); err != nil || e.WaitingFor == nil || !strings.Contains(e.WaitingFor.Message, "short of disk") {
			t.Errorf("%+v %v", e, err)
		}
	})
}
