package testserver_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/attune-automation/attune/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running returns the processes that have text in their command line or their environment.
func running(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/[ce][mn][dv]*") // cmdline, environ
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(text)) {
			found = append(found, file)
		}
	}
	return found
}

func TestPostgresKeepsItsDataAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p, err := testserver.StartPostgres(false)
	if err != nil {
		t.Fatal(err)
	}
	run := func(statement string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), p.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run("CREATE TABLE kept (n integer)")
	for _, stop := range []func(){p.Halt, p.Kill} {
		stop()
		if conn, err := pgx.Connect(t.Context(), p.URL); err == nil {
			t.Error("it answers although it was stopped")
			_ = conn.Close(t.Context())
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		run("SELECT n FROM kept")
	}
	port := p.URL[strings.LastIndex(p.URL, ":")+1 : strings.LastIndex(p.URL, "/")]
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if left := running(t, "port="+port); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRabbitMQComesBackAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r, err := testserver.StartRabbitMQ()
	if err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if answer, err := http.Get(r.ManagementURL); err == nil {
		t.Error("it answers although it was killed")
		_ = answer.Body.Close()
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	node := "attune-" + r.URL[strings.LastIndex(r.URL, ":")+1:]
	if len(running(t, node)) == 0 {
		t.Fatal("no process has the node's name: what is looked for below would never be found")
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if left := running(t, node); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestS3KeepsItsDataAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := testserver.StartS3()
	if err != nil {
		t.Fatal(err)
	}
	health := func() error {
		answer, err := http.Get(s.Endpoint + "/health")
		if err == nil {
			answer.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
		return err
	}
	for _, stop := range []func(){s.Halt, s.Kill} {
		stop()
		if health() == nil {
			t.Error("it answers although it was stopped")
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if err := health(); err != nil {
			t.Error(err)
		}
	}
	address := strings.TrimPrefix(s.Endpoint, "http://")
	if len(running(t, address)) == 0 {
		t.Fatal("no process has the address: what is looked for below would never be found")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if left := running(t, address); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
