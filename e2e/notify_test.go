package e2e_test

import (
	"context"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// watchdogTime is what the tests' service manager waits for a sign of life.
const watchdogTime = 2 * time.Second

// manager is what a service manager is to a service: a socket that takes its messages.
type manager struct {
	*host
	messages chan string
}

// newManager makes a host whose daemons have a service manager.
func newManager(t *testing.T, as shape, settings ...string) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-*") //nolint:usetesting // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = socket.Close()
		_ = os.RemoveAll(dir)
	})
	m := &manager{messages: make(chan string, 10_000)}
	go func() {
		defer close(m.messages)
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			m.messages <- string(buffer[:n])
		}
	}()
	m.host = newHost(t, as, append([]string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=2000000"}, settings...)...)
	return m
}

// gets waits for a message that has the line, and returns it.
func (m *manager) gets(line string) string {
	m.t.Helper()
	late := time.After(patience)
	for {
		select {
		case message := <-m.messages:
			for each := range strings.Lines(message) {
				if strings.TrimSpace(each) == line {
					return message
				}
			}
		case <-late:
			m.t.Fatalf("%s did not come", line)
		}
	}
}

// starves waits until nothing has come for as long as the watchdog waits, and longer.
func (m *manager) starves() {
	m.t.Helper()
	late := time.After(patience)
	for {
		select {
		case <-m.messages:
		case <-time.After(3 * watchdogTime / 2):
			return
		case <-late:
			m.t.Fatal("the watchdog is fed for ever")
		}
	}
}

// TestServiceManagerIsTold starts each kind of service, stops it with SIGSTOP, lets it go on, and ends it.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	services := map[string]struct {
		as     shape
		status string
	}{"up": {embedded, ", worker w"}, "server": {production, "http://127.0.0.1"}, "worker": {production, "worker w"}}
	for name, service := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newManager(t, service.as)
			d := m.spawn(name)
			if message := m.gets("READY=1"); !strings.Contains(message, "STATUS=ready: ") || !strings.Contains(message, service.status) {
				t.Errorf("%q", message)
			}
			m.gets("WATCHDOG=1")
			m.gets("WATCHDOG=1")
			m.signal(d, syscall.SIGSTOP)
			m.starves()
			m.signal(d, syscall.SIGCONT)
			m.gets("WATCHDOG=1")
			m.signal(d, syscall.SIGTERM)
			if message := m.gets("STOPPING=1"); !strings.Contains(message, "STATUS=ending: ") {
				t.Errorf("%q", message)
			}
			if <-d.ended; d.err != nil {
				t.Errorf("%v", d.err)
			}
		})
	}
}

// TestHungLoopStarvesTheWatchdog lets the scheduler wait for a lock while the worker and the API go on.
func TestHungLoopStarvesTheWatchdog(t *testing.T) {
	t.Parallel()
	m := newManager(t, embedded)
	m.pack("retried", `ref: retried.once
label: Fails at first
runner_type: shell
entry_point: once.sh
retry: {max_attempts: 2, delay: 3s, backoff: constant, on: [failed]}
`, `[ "$ATTUNE_ATTEMPT" = 2 ]`)
	s := m.up()
	id := m.submit(s.Client, client.Submission{Action: "retried.once"})
	m.eventually("it waits to be retried", func() bool {
		e, err := s.Execution(t.Context(), id)
		return err == nil && e.Attempt == 2
	})
	release := m.lock()
	m.starves()
	if _, err := s.Execution(t.Context(), id); err != nil {
		t.Errorf("the API: %v", err)
	}
	release()
	m.gets("WATCHDOG=1")
	m.becomes(s.Client, id, attune.StatusCompleted)
}

// pack installs a pack of one shell action, once.
func (h *host) pack(ref, action, content string) {
	h.t.Helper()
	dir := filepath.Join(h.t.TempDir(), ref)
	if err := os.MkdirAll(filepath.Join(dir, "actions"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"pack.yaml": "ref: " + ref + "\nlabel: " + ref + "\nversion: 1.0.0\n", "actions/once.yaml": action, "actions/once.sh": content,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	h.attune(0, "pack", "install", dir)
}

// lock keeps all others from writing to the embedded database.
func (h *host) lock() (release func()) {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "attune.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		if _, err := db.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			h.t.Error(err)
		}
	}
}

// TestActionsDontTalkToTheServiceManager looks at what an action is given.
func TestActionsDontTalkToTheServiceManager(t *testing.T) {
	t.Parallel()
	m := newManager(t, embedded)
	s := m.up()
	id := m.submit(s.Client, script(`env`, nil))
	m.becomes(s.Client, id, attune.StatusCompleted)
	if out := m.output(s.Client, id); strings.Contains(out, "NOTIFY") || strings.Contains(out, "WATCHDOG") || !strings.Contains(out, "ATTUNE_") {
		t.Error(out)
	}
}
