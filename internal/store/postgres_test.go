package store_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestNoErrorOfConnectingTellsAPassword(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, url := range []string{
		"postgres://u:hush@127.0.0.1:1/d", "postgres://u:hush#mum?@127.0.0.1:1/d", "postgres://u@127.0.0.1:1/d?password=hush",
		"postgres://u:hush@mum@127.0.0.1:1/d", "postgres://u:12/hush@127.0.0.1:1/d", "postgres://u:12?hush=@127.0.0.1:1/d",
		"postgres://u@127.0.0.1:1/d?password=hush&mum",
	} {
		_, err := store.Open(ctx, store.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "mum") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A submission may take up an old archive or action version again while it is being pruned.
func TestPruneLeavesWhatIsTakenUpAgainMeanwhile(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	s, raw, ctx := db.Open(t), db.Raw(t), t.Context()
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		if err := q.PutArchive(ctx, "d0", []byte("a")); err != nil {
			return err
		}
		_, err := q.PutAction(ctx, storetest.Action("adhoc.x"), false)
		return err
	})
	for _, table := range []string{"action", "archive"} {
		if _, err := raw.ExecContext(ctx, "UPDATE "+table+" SET created_at = 0"); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := raw.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, table := range []string{"action", "archive"} {
		const now = " SET created_at = (EXTRACT(EPOCH FROM statement_timestamp()) * 1000000)::bigint"
		if _, err := tx.ExecContext(ctx, "UPDATE "+table+now); err != nil {
			t.Fatal(err)
		}
	}
	pruned, ended := int64(0), make(chan error, 1)
	go func() {
		ended <- s.Write(ctx, func(q *store.Queries) (err error) {
			pruned, err = q.Prune(ctx, time.Hour, 10)
			return err
		})
	}()
	const waiting = `SELECT count(*) FROM pg_stat_activity
		WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM action%' AND $1::int = ANY (pg_blocking_pids(pid))`
	var pid, blocked int
	if err := tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(20 * time.Second); blocked == 0; <-poll.C {
		if err := raw.QueryRowContext(ctx, waiting, pid).Scan(&blocked); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("Prune has not waited for the action's row")
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || pruned != 0 {
		t.Errorf("pruned %d rows that were taken up again: %v", pruned, err)
	}
}
