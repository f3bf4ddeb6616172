// Package storetest opens real databases for tests and makes the rows that many of them need.
package storetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host/hosttest"
	"github.com/attune-automation/attune/internal/store"
)

// Database is an empty place for a store: a directory of its own, or a schema of its own on PostgreSQL.
type Database struct {
	Dialect  string // sqlite or postgres
	URL      string
	Dir      string        // of the SQLite file
	Schema   string        // on PostgreSQL
	Patience time.Duration // of the stores; 0: as usual
}

// Each runs a test on every database that the program knows, each time on an empty one.
func Each(t *testing.T, test func(t *testing.T, db Database)) {
	t.Helper()
	for name, empty := range map[string]func(testing.TB) Database{"sqlite": SQLite, "postgres": Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, empty(t))
		})
	}
}

// SQLite returns a directory for a new SQLite file.
func SQLite(t testing.TB) Database {
	t.Helper()
	return Database{Dialect: "sqlite", URL: "sqlite:attune.db", Dir: t.TempDir()}
}

// Postgres returns a new schema on the server that ATTUNE_TEST_POSTGRES_URL names, dropped when the test ends. Without
// the variable the test is skipped, but fails in CI.
func Postgres(t testing.TB) Database {
	t.Helper()
	server := os.Getenv("ATTUNE_TEST_POSTGRES_URL")
	hosttest.Needs(t, server != "", "ATTUNE_TEST_POSTGRES_URL names no server: `make test` starts one")
	schema := fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1))
	run := func(statement string) {
		admin, err := sql.Open("pgx", server)
		if err == nil {
			_, err = admin.ExecContext(context.Background(), statement)
		}
		if err = errors.Join(err, admin.Close()); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	run("CREATE SCHEMA " + schema)
	t.Cleanup(func() { run("DROP SCHEMA " + schema + " CASCADE") })
	return Database{Dialect: "postgres", URL: server + "?search_path=" + schema, Schema: schema}
}

// schemas makes the names of schemas unique in this process.
var schemas atomic.Int64

// Open returns a store on the database, as another process would open it, closed when the test ends.
func (d Database) Open(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{
		URL: d.URL, Dir: d.Dir, MaxConnections: 6, Patience: d.Patience, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// Raw opens the database behind the store's back, closed when the test ends. Placeholders are $1.
func (d Database) Raw(t testing.TB) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", d.URL
	if d.Dialect == "sqlite" {
		driver, dsn = "sqlite", "file:"+filepath.Join(d.Dir, "attune.db")+"?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Open returns a store on a new SQLite file, closed when the test ends.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return SQLite(t).Open(t)
}

// OpenIn returns a store on the SQLite file in dir, as another process on the same data directory would open it.
func OpenIn(t testing.TB, dir string) *store.Store {
	t.Helper()
	return Database{Dialect: "sqlite", URL: "sqlite:attune.db", Dir: dir}.Open(t)
}

// Action returns a small shell action.
func Action(ref attune.Ref) attune.Action {
	return attune.Action{
		Ref: ref, Runtime: attune.RuntimeShell, EntryPoint: "actions/x.sh", Digest: "d0",
		Parameters: json.RawMessage(`{"type":"object"}`),
		Delivery:   attune.DeliverStdin, Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
	}
}

// PutAction installs an action and returns it with its row's id.
func PutAction(t testing.TB, s *store.Store, a attune.Action) store.StoredAction {
	t.Helper()
	var id int64
	Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
		id, err = q.PutAction(ctx, a, true)
		return err
	})
	return store.StoredAction{ID: id, Action: a}
}

// Worker registers a worker that can run shell actions, or a new incarnation of it, and returns its row.
func Worker(t testing.TB, s *store.Store, name string, slots int) store.WorkerRow {
	t.Helper()
	before, err := s.Read().WorkerByName(context.Background(), name)
	if err != nil && attune.ErrorCode(err) != attune.CodeNotFound {
		t.Fatal(err)
	}
	Write(t, s, func(ctx context.Context, q *store.Queries) error {
		_, _, err := q.RegisterWorker(ctx, store.Registration{
			Seen: before.Incarnation, Name: name, Type: attune.WorkerTypeLocal, Host: name, Slots: slots, Lease: 90e9,
			Runtimes: []attune.Runtime{{Name: attune.RuntimeShell, Version: "5.2"}},
		})
		return err
	})
	row, err := s.Read().WorkerByName(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// Write runs do in a transaction that must succeed.
func Write(t testing.TB, s *store.Store, do func(context.Context, *store.Queries) error) {
	t.Helper()
	ctx := context.Background()
	if err := s.Write(ctx, func(q *store.Queries) error { return do(ctx, q) }); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// Insert stores a requested execution and returns its id.
func Insert(t testing.TB, s *store.Store, e store.NewExecution) (id int64) {
	t.Helper()
	Write(t, s, func(ctx context.Context, q *store.Queries) error {
		rows, err := q.InsertExecutions(ctx, []store.NewExecution{e})
		if err == nil {
			id = rows[0].ID
		}
		return err
	})
	return id
}

// Age moves the times of an execution's row into the past, as if so much time had gone by.
func Age(t testing.TB, s *store.Store, id int64, seconds int64) {
	t.Helper()
	Write(t, s, func(ctx context.Context, q *store.Queries) error { return q.AgeExecution(ctx, id, seconds) })
}

// Eventually waits until something holds that a test has set in motion.
func Eventually(t testing.TB, holds func() bool) {
	t.Helper()
	deadline, look := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatal("it did not come to pass")
		case <-look.C:
		}
	}
}
