package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "test-token"

// server is the API on a real store, broker and network, with the core pack and a worker of two slots, whose part the
// tests play.
type server struct {
	*client.Client
	t          *testing.T
	url        string
	handler    http.Handler
	store      *store.Store
	executions *execution.Service
	artifacts  string
	keys       *secret.Safe
	worker     store.WorkerRow
}

// newServer starts a server that hears what the broker brings.
func newServer(t *testing.T) *server {
	t.Helper()
	s, operations := newDeafServer(t)
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- operations.Run(ctx) }()
	t.Cleanup(func() {
		stop(nil)
		if err := <-ended; err != nil {
			t.Errorf("the API ended with %v", err)
		}
	})
	return s
}

// newDeafServer starts a server that only sees what it looks at.
func newDeafServer(t *testing.T) (*server, *api.API) {
	t.Helper()
	return newServerOn(t, storetest.SQLite(t))
}

// newServerOn starts such a server on a database.
func newServerOn(t *testing.T, db storetest.Database, change ...func(*api.Config)) (*server, *api.API) {
	t.Helper()
	s := &server{t: t, store: db.Open(t), artifacts: t.TempDir()}
	messages, log := inproc.New(inproc.Config{}), slog.New(slog.DiscardHandler)
	s.executions = execution.New(execution.Config{Store: s.store, Broker: messages, Logger: log})
	if err := api.EnsureCore(context.Background(), s.store); err != nil {
		t.Fatal(err)
	}
	s.worker = storetest.Worker(t, s.store, "w1", 2)
	s.listen(messages)
	s.keys = secret.NewSafe(secret.SafeConfig{Create: filepath.Join(t.TempDir(), "keys")})
	cfg := api.Config{
		Store: s.store, Executions: s.executions, Broker: messages, Token: token, Version: "v1.2.3", Logger: log,
		Artifacts: func(worker string) (*artifact.Store, error) { return artifact.New(s.artifacts, worker) },
		Keys:      s.keys, RenewKeys: true,
	}
	for _, c := range change {
		c(&cfg)
	}
	operations := api.New(cfg)
	network := httptest.NewServer(operations.Handler())
	s.url, s.handler = network.URL, operations.Handler()
	s.Client = client.New(client.Config{BaseURL: network.URL, Token: token})
	t.Cleanup(func() { s.Close(); network.Close() })
	return s, operations
}

// listen declares the worker's queue, as a worker would: what is placed on a worker without a queue goes back.
func (s *server) listen(messages *inproc.Broker) {
	s.t.Helper()
	ctx, stop := context.WithCancelCause(context.Background())
	queue := broker.WorkerQueue(s.worker.ID, 10)
	bound, ended := make(chan struct{}), make(chan error, 1)
	queue.Ready = sync.OnceFunc(func() { close(bound) })
	go func() {
		ended <- messages.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) { _ = d.Ack() })
	}()
	<-bound
	s.t.Cleanup(func() {
		stop(nil)
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// send makes a request with the token and returns the answer's status and body.
func (s *server) send(method, path, body string) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // or a stream would never end
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	return s.do(request)
}

func (s *server) do(request *http.Request) (int, string) {
	s.t.Helper()
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = answer.Body.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return answer.StatusCode, string(text)
}

func (s *server) submit(submission client.Submission) attune.Execution {
	s.t.Helper()
	e, err := s.Submit(context.Background(), submission)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s *server) echo() attune.Execution {
	s.t.Helper()
	return s.submit(client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"message":"hi"}`)})
}

// begin places an execution and claims it.
func (s *server) begin(id int64) attune.Fence {
	s.t.Helper()
	ctx := context.Background()
	if _, err := s.executions.Schedule(ctx, nil); err != nil {
		s.t.Fatal(err)
	}
	row, err := s.store.Read().Execution(ctx, id)
	if err != nil || row.Status != attune.StatusScheduled {
		s.t.Fatalf("%v %v", row.Status, err)
	}
	if _, err := s.executions.Claim(ctx, row.Fence()); err != nil {
		s.t.Fatal(err)
	}
	return row.Fence()
}

func (s *server) finish(f attune.Fence, o attune.Outcome, left ...attune.Artifact) {
	s.t.Helper()
	if _, err := s.executions.Finish(context.Background(), f, o, left); err != nil {
		s.t.Fatal(err)
	}
}

var completed = attune.Outcome{Status: attune.StatusCompleted}

var failed = attune.Outcome{
	Status: attune.StatusFailed, Failure: &attune.Failure{Kind: attune.FailureExit, Message: "exit status 1"},
}

// files returns the place of an attempt's files, made.
func (s *server) files(id int64, attempt int) *artifact.Attempt {
	s.t.Helper()
	all, err := artifact.New(s.artifacts, s.worker.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	files, err := all.Create(id, attempt)
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

// write appends to a log.
func (s *server) write(files *artifact.Attempt, stream attune.Stream, text string) {
	s.t.Helper()
	log, err := files.OpenLog(stream)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = log.Write([]byte(text))
	if err := log.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) log(id int64, o client.LogOptions) (string, error) {
	s.t.Helper()
	body, err := s.Logs(s.t.Context(), id, attune.Stdout, o)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

// problem is a problem document.
type problem struct {
	Title  string          `json:"title"`
	Status int             `json:"status"`
	Detail string          `json:"detail"`
	Errors []attune.Detail `json:"errors"`
}

func (s *server) wantProblem(method, path, body string, status int, word string) {
	s.t.Helper()
	got, text := s.send(method, path, body)
	var p problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || got != status || p.Status != status || p.Detail == "" {
		s.t.Errorf("%s %s %.80s: %d %s", method, path, body, got, text)
	}
	if !strings.Contains(text, word) {
		s.t.Errorf("%s %s %.80s does not say %q: %s", method, path, body, word, text)
	}
}
