package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// BenchmarkIdleStatements counts the transactions that PostgreSQL commits while a server and a worker have nothing to
// do: each statement of theirs is one then. Its unit is transactions a second, of both together.
func BenchmarkIdleStatements(b *testing.B) {
	path, env, database := ownServers(b)
	begin(b, path, env, "server", "--data-dir", b.TempDir())
	begin(b, path, env, "worker", "--data-dir", b.TempDir(), "--name", "w")
	conn, err := pgx.Connect(b.Context(), database)
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
