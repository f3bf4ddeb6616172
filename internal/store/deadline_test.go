package store_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/testserver"
)

// A network that swallows everything says nothing, for as long as one listens: each kind of statement must end by
// itself, as that of a database that is away, and so must the next one, which takes another connection.
func TestServerThatNeverAnswersIsAway(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	proxy, through := testserver.Through(t, db.URL)
	db.URL, db.Patience = through, 200*time.Millisecond
	s := db.Open(t)
	action := storetest.PutAction(t, s, storetest.Action("demo.x")) // some connections are there
	proxy.Freeze()
	// The caller itself would wait for ever.
	ctx := context.Background()
	for name, ask := range map[string]func() error{
		"one row":     func() error { _, err := s.Read().Now(ctx); return err },
		"many rows":   func() error { _, err := s.Read().Workers(ctx); return err },
		"a write":     func() error { return s.Single(ctx, func(q *store.Queries) error { return q.DeleteWorker(ctx, 1) }) },
		"transaction": func() error { return s.Write(ctx, func(q *store.Queries) error { return q.DeleteWorker(ctx, 1) }) },
	} {
		for range 3 {
			if err := ask(); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if proxy.Stalled.Load() == 0 {
		t.Error("nothing was held back")
	}
	proxy.Thaw()
	if _, err := s.Read().ActionVersion(ctx, action.ID); err != nil {
		t.Errorf("it answers again: %v", err)
	}
}

// What lets a running store in no more may be mended; a program that is being started should rather say so at once.
func TestRefusedLoginIsAwayOnlyForAStoreThatWasOpen(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	admin := db.Raw(t)
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	role := "guest_" + db.Schema
	do("CREATE ROLE " + role + " LOGIN")
	t.Cleanup(func() { do("DROP OWNED BY " + role); do("DROP ROLE " + role) })
	do("GRANT ALL ON SCHEMA " + db.Schema + " TO " + role)
	db.URL = as(t, db.URL, role)
	s := db.Open(t)
	do("ALTER ROLE " + role + " NOLOGIN")
	do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + role + "'")
	var refused *pgconn.PgError
	for try := 0; refused == nil || refused.Code != "28000"; try++ { // one for each connection that had been there
		_, err := s.Read().Now(context.Background())
		if !errors.Is(err, store.ErrUnavailable) || try > 10 {
			t.Fatal(err)
		}
		errors.As(err, &refused)
	}
	_, err := store.Open(context.Background(), store.Config{URL: db.URL, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("opened by a role that may not log in: %v", err)
	}
	do("ALTER ROLE " + role + " LOGIN")
	if _, err := s.Read().Now(context.Background()); err != nil {
		t.Error(err)
	}
}

// as returns the URL of a database with another user.
func as(t *testing.T, database, user string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

// After a restart of the server every connection that is kept is dead, and nobody must learn of it.
func TestDeadConnectionsCostNobodyAnError(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	db.URL += "&application_name=" + db.Schema
	s, ctx := db.Open(t), context.Background()
	admin := db.Raw(t)
	for range 5 {
		var together sync.WaitGroup // as many connections as the pool has
		for range 6 {
			together.Go(func() {
				err := s.Write(ctx, func(q *store.Queries) error { _, err := q.Now(ctx); return err })
				if err != nil {
					t.Error("a transaction:", err)
				}
				if _, err := s.Read().Now(ctx); err != nil {
					t.Error("a row:", err)
				}
				if _, err := s.Read().Workers(ctx); err != nil {
					t.Error("rows:", err)
				}
			})
		}
		together.Wait()
		const end = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE application_name = $1 AND pid <> pg_backend_pid()`
		var ended int
		if err := admin.QueryRow(end, db.Schema).Scan(&ended); err != nil || ended == 0 {
			t.Fatal(ended, err)
		}
	}
}
