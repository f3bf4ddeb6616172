package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(t *testing.T, dir string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Source{
		DataDir: dir, HostName: "h", Environ: []string{"ATTUNE__SERVER__LISTEN=127.0.0.1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func open(t *testing.T, dir string) *daemon.Parts {
	t.Helper()
	parts, err := daemon.Open(t.Context(), settings(t, dir), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := parts.Close(); err != nil {
			t.Error(err)
		}
	})
	return parts
}

// up runs a server until the test ends or stop is called, which returns what Up returned.
func up(t *testing.T, parts *daemon.Parts) (server daemon.Server, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	ready, ended := make(chan daemon.Server, 1), make(chan error, 1)
	go func() { ended <- parts.Up(ctx, nil, func(s daemon.Server) { ready <- s }) }()
	stop = sync.OnceValue(func() error {
		cancel(errors.New("the test has ended"))
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case server = <-ready:
	case err := <-ended:
		t.Fatalf("the server ended: %v", err)
	}
	return server, stop
}

func TestServerIsFoundWhileItRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, found := daemon.FindServer(dir); found {
		t.Error("a server was found where none ever was")
	}
	server, stop := up(t, open(t, dir))
	found, token, ok := daemon.FindServer(dir)
	if !ok || found != server || token == "" {
		t.Fatalf("%+v %v, want %+v", found, ok, server)
	}
	c := client.New(client.Config{BaseURL: found.URL, Token: token})
	defer c.Close()
	e, err := c.Submit(t.Context(), client.Submission{Action: "core.noop"})
	if err != nil {
		t.Fatal(err)
	}
	if e, err = c.WaitExecution(t.Context(), e.ID); err != nil || e.Status != attune.StatusCompleted {
		t.Errorf("%+v %v", e, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token: %v %v", info.Mode(), err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, _, found := daemon.FindServer(dir); found {
		t.Error("a server was found that has ended")
	}
	// A server that was killed leaves its file, and misleads nobody.
	if err := os.WriteFile(filepath.Join(dir, "server.json"), []byte(`{"url":"http://127.0.0.1:1","pid":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, found := daemon.FindServer(dir); found {
		t.Error("a server was found that was killed")
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up(t, open(t, dir))
	err := open(t, dir).Up(t.Context(), nil, func(daemon.Server) { t.Error("it is ready") })
	if attune.ErrorCode(err) != attune.CodeConflict {
		t.Errorf("%v", err)
	}
	if _, _, found := daemon.FindServer(dir); !found {
		t.Error("the second one has taken the first one's file away")
	}
}

func TestTokenFileThatHoldsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parts, path := open(t, dir), filepath.Join(dir, "token")
	for _, text := range []string{"", " \n\t", "hush\nmum\n", "hush mum", "hush\x00", "t\u00f6ken", strings.Repeat("x", 70_000)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := parts.Up(t.Context(), nil, func(daemon.Server) { t.Errorf("%.20q is a token", text) })
		if attune.ErrorCode(err) != attune.CodeInvalid || !strings.Contains(err.Error(), path+": ") {
			t.Errorf("%.20q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("the error tells what may be a part of a token: %v", err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%.20q has become %.20q: %v", text, kept, err)
		}
	}
	if err := os.WriteFile(path, []byte("  chosen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, parts)
	if _, token, found := daemon.FindServer(dir); !found || token != "chosen" {
		t.Errorf("%q %v", token, found)
	}
}

func TestServerSaysWhyItCannotListen(t *testing.T) {
	t.Parallel()
	server, _ := up(t, open(t, t.TempDir()))
	cfg := settings(t, t.TempDir())
	cfg.Server.Listen = server.URL[len("http://"):]
	parts, err := daemon.Open(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parts.Close() }()
	err = parts.Up(t.Context(), nil, func(daemon.Server) { t.Error("it is ready") })
	if attune.ErrorCode(err) != attune.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if _, _, found := daemon.FindServer(cfg.DataDir); found {
		t.Error("it says that it listens")
	}
}

func TestDrainedServerEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parts := open(t, dir)
	ended := make(chan error, 1)
	ready := make(chan daemon.Server, 1)
	go func() { ended <- parts.Up(t.Context(), nil, func(s daemon.Server) { ready <- s }) }()
	<-ready
	server, token, _ := daemon.FindServer(dir)
	c := client.New(client.Config{BaseURL: server.URL, Token: token})
	defer c.Close()
	if _, err := c.SetWorker(t.Context(), "h", "drain"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("a drained server with nothing to run goes on")
	}
}

// TestSessionsTakeOnlyTheirOwn runs two commands' sessions on one data directory.
func TestSessionsTakeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	workers := map[string]bool{}
	for range 2 {
		session, err := open(t, dir).Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := session.Close(); err != nil {
				t.Error(err)
			}
		}()
		c := client.New(client.Config{Transport: client.InProcess(session.Handler)})
		e, err := c.Submit(t.Context(), client.Submission{Action: "core.noop"})
		if err != nil {
			t.Fatal(err)
		}
		if e, err = c.WaitExecution(t.Context(), e.ID); err != nil || e.Status != attune.StatusCompleted || e.Worker == nil {
			t.Fatalf("%+v %v", e, err)
		}
		workers[*e.Worker] = true
	}
	if len(workers) != 2 {
		t.Errorf("%v ran them", workers)
	}
}
