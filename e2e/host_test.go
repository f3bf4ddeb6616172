package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/testserver"
)

// patience bounds every wait for something that is to happen.
const patience = 60 * time.Second

// binary is attune, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	if dir := os.Getenv(idleWorkerDir); dir != "" {
		if err := workIdly(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(buildAndRun(m))
}

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

// shape is how the system is put together.
type shape string

const (
	embedded   shape = "embedded"   // attune up, on a SQLite file
	production shape = "production" // attune server and attune worker, on PostgreSQL and RabbitMQ
)

// onBoth runs a scenario on both shapes, each on databases of its own.
func onBoth(t *testing.T, scenario func(t *testing.T, as shape)) {
	t.Helper()
	for _, as := range []shape{embedded, production} {
		t.Run(string(as), func(t *testing.T) {
			t.Parallel()
			scenario(t, as)
		})
	}
}

// host is where a system runs: its directories, its databases, and what its commands are told.
type host struct {
	t    *testing.T
	as   shape
	root string
	dir  string // data directory of commands and servers
	env  []string
	hold string // a file for which script actions wait

	database storetest.Database    // of the production shape
	messages *amqptest.VirtualHost // of the production shape
}

// newHost makes empty directories and databases; settings are ATTUNE__SECTION__KEY=value.
func newHost(t *testing.T, as shape, settings ...string) *host {
	t.Helper()
	root := t.TempDir()
	h := &host{t: t, as: as, root: root, dir: filepath.Join(root, "data"), hold: filepath.Join(root, "go")}
	h.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "ATTUNE_DATA_DIR=" + h.dir,
		"ATTUNE__SERVER__LISTEN=127.0.0.1:0", "ATTUNE__WORKER__NAME=w", "ATTUNE__WORKER__KILL_GRACE=1", testserver.QuickExit,
	}
	if as == production {
		h.database, h.messages = storetest.Postgres(t), amqptest.New(t)
		h.env = append(h.env, "ATTUNE__DATABASE__URL="+h.database.URL, "ATTUNE__MESSAGE_QUEUE__URL="+h.messages.URL,
			"ATTUNE__ARTIFACTS__DIR="+filepath.Join(root, "artifacts"), "ATTUNE__WORKER__HEARTBEAT_INTERVAL=1")
	}
	h.env = append(h.env, settings...)
	return h
}

// in is the host for a subtest.
func (h *host) in(t *testing.T) *host {
	t.Helper()
	own := *h
	own.t = t
	return &own
}

// workerDir is the data directory of a worker: its own on the production shape.
func (h *host) workerDir(name string) string {
	if h.as == embedded {
		return h.dir
	}
	return filepath.Join(h.root, "worker-"+name)
}

// artifacts is where workers keep their files.
func (h *host) artifacts() string {
	if h.as == embedded {
		return filepath.Join(h.dir, "artifacts")
	}
	return filepath.Join(h.root, "artifacts")
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

// daemon is a running attune that stays.
type daemon struct {
	cmd   *exec.Cmd
	log   *log
	ended chan struct{} // closed when it has ended and err is set
	err   error
}

// spawn starts a daemon and returns when it is ready.
func (h *host) spawn(args ...string) *daemon {
	h.t.Helper()
	return h.spawnBy(h.command(args...))
}

// spawnBy is spawn with a command that runs a daemon in some way.
func (h *host) spawnBy(cmd *exec.Cmd) *daemon {
	h.t.Helper()
	d := &daemon{cmd: cmd, log: newLog(), ended: make(chan struct{})}
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	h.t.Cleanup(func() {
		d.kill()
		if h.t.Failed() {
			h.t.Logf("%s logged:\n%s", strings.Join(cmd.Args, " "), d.log)
		}
	})
	select {
	case <-d.log.ready:
	case <-d.ended:
		h.t.Fatalf("%s ended: %v\n%s", strings.Join(cmd.Args, " "), d.err, d.log)
	case <-time.After(patience):
		h.t.Fatalf("%s does not get ready:\n%s", strings.Join(cmd.Args, " "), d.log)
	}
	return d
}

// kill ends the process as a power cut would.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.ended
}

// signal asks the process for something.
func (h *host) signal(d *daemon, sig os.Signal) {
	h.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		h.t.Fatal(err)
	}
}

// system is a server and a worker, in one process or in two.
type system struct {
	*client.Client
	url    string
	server *daemon
	worker *daemon
}

// up starts the system and returns when it is ready.
func (h *host) up() *system {
	h.t.Helper()
	s := &system{}
	if h.as == embedded {
		s.server = h.spawn("up")
		s.worker = s.server
	} else {
		s.server = h.spawn("server")
		s.worker = h.spawn("worker", "--data-dir", h.workerDir("w"), "--name", "w")
	}
	s.url = s.server.log.url()
	s.Client = h.client(s.server)
	return s
}

// client returns a client of a server of this host.
func (h *host) client(server *daemon) *client.Client {
	h.t.Helper()
	token, err := os.ReadFile(filepath.Join(h.dir, "token"))
	if err != nil {
		h.t.Fatal(err)
	}
	c := client.New(client.Config{BaseURL: server.log.url(), Token: strings.TrimSpace(string(token))})
	h.t.Cleanup(c.Close)
	return c
}

// kill ends all of it as a power cut would: nothing of it runs on.
func (s *system) kill() {
	s.worker.kill()
	s.server.kill()
}

// log keeps what a daemon logs, and tells when it is ready.
type log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	rest    []byte        // the line that is not whole yet
	ready   chan struct{} // closed when it says so
	address string        // that it named then
}

func newLog() *log { return &log{ready: make(chan struct{})} }

// url is where the server is that said it is ready.
func (l *log) url() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

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
			l.address = record.URL
			close(l.ready)
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

// keepsNothing asserts that a worker keeps nothing of an execution: no private directory, no spooled result, and no
// record that names a command. (A record that names none waits for the next one.)
func (h *host) keepsNothing(worker string) {
	h.t.Helper()
	dir := filepath.Join(h.workerDir(worker), "workers", worker)
	for _, name := range []string{"tasks", "spool"} {
		left, err := os.ReadDir(filepath.Join(dir, name))
		if len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.t.Errorf("worker %s: %s holds %v, %v", worker, name, left, err)
		}
	}
	records, err := filepath.Glob(filepath.Join(dir, "processes", "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, file := range records {
		var record struct{ ID string }
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &record)
		}
		if err != nil || record.ID != "" {
			h.t.Errorf("worker %s: %s holds %s, %v", worker, file, text, err)
		}
	}
}

var marks atomic.Int64

// newMark returns a number of seconds that no other sleep on this machine has: it finds processes by their command line.
func newMark() string { return fmt.Sprintf("%d.%d", 7_000_000+os.Getpid(), 1000+marks.Add(1)) }

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
