package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune-automation/attune/internal/testserver"
)

// BenchmarkIdleStatements counts the transactions that PostgreSQL commits while a server and a worker have nothing to
// do: each statement of theirs is one then. Its unit is transactions a second, of both together.
func BenchmarkIdleStatements(b *testing.B) {
	postgres, err := testserver.StartPostgres(false)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := postgres.Stop(); err != nil {
			b.Error(err)
		}
	}()
	rabbitmq, err := testserver.StartRabbitMQ()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := rabbitmq.Stop(); err != nil {
			b.Error(err)
		}
	}()
	path, root := plain(b), b.TempDir()
	env := append(benchEnv(b), "ATTUNE__DATABASE__URL="+postgres.URL, "ATTUNE__MESSAGE_QUEUE__URL="+rabbitmq.URL)
	for _, args := range [][]string{{"server", "--data-dir", root + "/s"}, {"worker", "--data-dir", root + "/w", "--name", "w"}} {
		l := newLog()
		cmd := commandOf(b, path, env, args...)
		cmd.Stderr = l
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		<-l.ready
	}
	conn, err := pgx.Connect(b.Context(), postgres.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	const window = 10 * time.Second
	<-time.After(window + 2*time.Second) // sessions that have done much at the start tell of it within ten seconds
	for b.Loop() {
		before := committed(b, conn)
		<-time.After(window) // what is measured is what happens in this time
		after := committed(b, conn)
		b.ReportMetric(float64(after-before-1)/window.Seconds(), "statements/s")
	}
}

// committed is PostgreSQL's count, after the sessions have told it (at most once a second each).
func committed(b *testing.B, conn *pgx.Conn) (n int64) {
	b.Helper()
	<-time.After(1500 * time.Millisecond)
	err := conn.QueryRow(b.Context(), `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
