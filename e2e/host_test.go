package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// patience bounds every wait for something that is to happen.
const patience = 60 * time.Second

// binary is attune, built by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "attune-e2e-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "attune")
	build := exec.CommandContext(context.Background(), "go", "build", "-race", "-o", binary, "../cmd/attune")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build attune:", err)
		return 1
	}
	return m.Run()
}

// host is a data directory and what runs on it.
type host struct {
	t    *testing.T
	dir  string
	env  []string
	hold string // a file for which script actions wait
}

// newHost makes an empty data directory; settings are ATTUNE__SECTION__KEY=value.
func newHost(t *testing.T, settings ...string) *host {
	t.Helper()
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "data"), hold: filepath.Join(t.TempDir(), "go")}
	h.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "ATTUNE_DATA_DIR=" + h.dir,
		"ATTUNE__SERVER__LISTEN=127.0.0.1:0", "ATTUNE__WORKER__NAME=w", "ATTUNE__WORKER__KILL_GRACE=1",
	}, settings...)
	return h
}

// command makes a command of attune on this host. A test that ends early takes it with it.
func (h *host) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), binary, args...)
	cmd.Env, cmd.Dir = h.env, h.t.TempDir()
	return cmd
}

// attune runs a command to its end and returns what it wrote to stdout; it must end with the status.
func (h *host) attune(status int, args ...string) string {
	h.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := h.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if got := exitStatus(err); got != status {
		h.t.Fatalf("attune %s: exit status %d, want %d\nstdout: %s\nstderr: %s",
			strings.Join(args, " "), got, status, head(stdout.String()), head(stderr.String()))
	}
	return stdout.String()
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func head(text string) string { return fmt.Sprintf("%.2000s", text) }

// server is a running `attune up`.
type server struct {
	*client.Client
	url   string
	cmd   *exec.Cmd
	log   *log
	ended chan struct{} // closed when it has ended and err is set
	err   error
}

// up starts `attune up` and returns when it is ready.
func (h *host) up() *server {
	h.t.Helper()
	s := &server{cmd: h.command("up"), log: newLog(), ended: make(chan struct{})}
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	h.t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
	})
	select {
	case s.url = <-s.log.ready:
		token, err := os.ReadFile(filepath.Join(h.dir, "token"))
		if err != nil {
			h.t.Fatal(err)
		}
		s.Client = client.New(client.Config{BaseURL: s.url, Token: strings.TrimSpace(string(token))})
		h.t.Cleanup(s.Close)
	case <-s.ended:
		h.t.Fatalf("attune up ended: %v\n%s", s.err, s.log)
	case <-time.After(patience):
		h.t.Fatalf("attune up does not get ready:\n%s", s.log)
	}
	return s
}

// kill ends the server as a power cut would: nothing of it runs on.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// log keeps what a server logs, and sends the URL when it is ready.
type log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	rest  []byte // the line that is not whole yet
	ready chan string
}

func newLog() *log { return &log{ready: make(chan string, 1)} }

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		var record struct{ Msg, URL string }
		if json.Unmarshal(line, &record) == nil && record.Msg == "ready" {
			l.ready <- record.URL
		}
	}
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// submit submits and returns the id.
func (h *host) submit(c *client.Client, s client.Submission) int64 {
	h.t.Helper()
	e, err := c.Submit(h.t.Context(), s)
	if err != nil {
		h.t.Fatal(err)
	}
	return e.ID
}

// script is a submission of a shell script with parameters.
func script(content string, parameters map[string]string) client.Submission {
	encoded, err := json.Marshal(parameters)
	if err != nil {
		panic(err) // strings only
	}
	return client.Submission{Script: &client.Script{Name: "script.sh", Content: content}, Parameters: encoded}
}

func echo(message string) client.Submission {
	return client.Submission{Action: "core.echo", Parameters: json.RawMessage(fmt.Sprintf(`{"message":%q}`, message))}
}

// becomes waits for a status and returns the execution.
func (h *host) becomes(c *client.Client, id int64, want attune.Status) attune.Execution {
	h.t.Helper()
	var e attune.Execution
	h.eventually(fmt.Sprintf("execution %d %s", id, want), func() bool {
		var err error
		if e, err = c.Execution(h.t.Context(), id); err != nil {
			h.t.Fatal(err)
		}
		if e.Status.Final() && e.Status != want {
			h.t.Fatalf("execution %d is %s, want %s: %+v", id, e.Status, want, e.Error)
		}
		return e.Status == want
	})
	return e
}

func (h *host) eventually(what string, is func() bool) {
	h.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			h.t.Fatalf("%s: it did not come to pass", what)
		case <-tick.C:
		}
	}
}

func (h *host) output(c *client.Client, id int64) string {
	h.t.Helper()
	stream, err := c.Logs(h.t.Context(), id, attune.Stdout, client.LogOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := io.ReadAll(stream)
	if err = errors.Join(err, stream.Close()); err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

var marks atomic.Int64

// mark is a number of seconds that no other sleep on this machine has: it finds processes by their command line.
func mark() string { return fmt.Sprintf("%d.%d", 7_000_000+os.Getpid(), 1000+marks.Add(1)) }

// living returns the processes that have text on their command line.
func living(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(text)) {
			found = append(found, file+": "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// lines reads a process's output line by line.
func lines(r io.Reader) <-chan string {
	found := make(chan string)
	go func() {
		defer close(found)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			found <- scanner.Text()
		}
	}()
	return found
}
