package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// fill stores n finished executions and after them as many that wait, behind the store's back.
func fill(t *testing.T, raw *sql.DB, like int64, n int) {
	t.Helper()
	const columns = `action_id, action_ref, attempt, max_attempts, class, class_key, request_digest, timeout_us, trace,
		not_before, published_at, created_at, parameters, env, context`
	for _, status := range []string{"completed", "requested"} {
		_, err := raw.Exec(`INSERT INTO execution (status, `+columns+`)
			SELECT $1, `+columns+` FROM execution, generate_series(1, $2) WHERE id = $3`, status, n, like)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raw.Exec(`ANALYZE`); err != nil {
		t.Fatal(err)
	}
}

// TestChoresReadNoTableFromEndToEnd counts what PostgreSQL says of how it read the table of executions.
func TestChoresReadNoTableFromEndToEnd(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	observer := db.Raw(t)
	counted := db
	counted.URL += "&application_name=" + t.Name()
	ended := func() reads {
		t.Helper()
		storetest.Eventually(t, func() bool { return sessions(t, observer, t.Name()) == 0 })
		return scans(t, observer, "execution")
	}
	s, raw := counted.Open(t), counted.Raw(t)
	populate(t, s)
	fill(t, raw, insert(t, s, storetest.PutAction(t, s, storetest.Action("demo.hello"))), 20_000)
	if err := errors.Join(s.Close(), raw.Close()); err != nil {
		t.Fatal(err)
	}
	before := ended()
	s = counted.Open(t)
	for range 10 { // PostgreSQL plans a statement for its parameters at first, and later for any
		chores(t, s)
	}
	if err := s.Close(); err != nil { // what a session has counted is told at its end at the latest
		t.Fatal(err)
	}
	after := ended()
	if after.whole > before.whole {
		t.Errorf("the table was read from end to end %d times", after.whole-before.whole)
	}
	if after.index == before.index {
		t.Error("no index was read: nothing was counted")
	}
}

// TestChoresReadByIndexOnSQLite looks at how SQLite means to run what the chores have prepared.
func TestChoresReadByIndexOnSQLite(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	s, raw := db.Open(t), db.Raw(t)
	populate(t, s)
	action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
	for range 3 {
		insert(t, s, action)
	}
	s = db.Open(t)
	chores(t, s)
	moved(t, s, action, storetest.Worker(t, s, "mover", 5), 3)
	looked, whole := 0, regexp.MustCompile(`^SCAN (execution|worker|runtime|e|n|w)$`)
	for _, text := range s.Prepared() {
		for _, step := range steps(t, raw, text) {
			looked++
			many := strings.Contains(step, "execution_by_status") && !strings.Contains(text, "'canceling'") // those are few
			if many || whole.MatchString(step) {
				t.Errorf("%s:%s", step, text)
			}
		}
	}
	if looked < 20 {
		t.Errorf("only %d steps were looked at", looked)
	}
}

// steps returns the plan of a statement, whose parameters don't matter to it.
func steps(t *testing.T, raw *sql.DB, text string) (plan []string) {
	t.Helper()
	args := make([]any, strings.Count(text, "$"))
	rows, err := raw.Query("EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what matters
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// populate registers workers that offer the same.
func populate(t *testing.T, s *store.Store) {
	t.Helper()
	for i := range 5 {
		storetest.Worker(t, s, fmt.Sprint("w", i), 2)
	}
}

// sessions counts those that have the name.
func sessions(t *testing.T, raw *sql.DB, name string) (n int) {
	t.Helper()
	if err := raw.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// chores runs the statements of the scheduler that have to find few rows among many.
func chores(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	if workers, err := s.Read().Freest(ctx, 3); err != nil || len(workers) != 3 {
		t.Errorf("%v %v", workers, err)
	}
	offers, err := s.Read().Offers(ctx)
	if err != nil || len(offers) != 1 {
		t.Errorf("%v %v", offers, err)
	}
	if workers, err := s.Read().FreestOf(ctx, offers[0].Offer, 3); err != nil || len(workers) != 3 {
		t.Errorf("%v %v", workers, err)
	}
	if workers, err := s.Read().Willing(ctx, 1); err != nil || len(workers) != 1 {
		t.Errorf("%v %v", workers, err)
	}
	if waiting, sent, err := s.Read().Unsettled(ctx); err != nil || !waiting || sent {
		t.Errorf("%v %v %v", waiting, sent, err)
	}
	if rows, err := s.Read().Unclaimed(ctx, time.Second, 10); err != nil || len(rows) > 0 {
		t.Errorf("%v %v", rows, err)
	}
	if rows, err := s.Read().Outlived(ctx, 10); err != nil || len(rows) > 0 {
		t.Errorf("%v %v", rows, err)
	}
	if lines, err := s.Read().Lines(ctx); err != nil || len(lines) != 1 || !lines[0].Due {
		t.Errorf("%v %v", lines, err)
	}
	if due, err := s.Read().Due(ctx, `{"runtime":"shell"}`, 3); err != nil || len(due) != 3 {
		t.Errorf("%v %v", due, err)
	}
	if next, found, err := s.Read().NextDue(ctx); err != nil || found {
		t.Errorf("%v %v %v", next, found, err)
	}
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		_, err := q.TakeUnpublished(ctx, time.Second, 10)
		return err
	})
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		_, err := q.ExpireAudit(ctx, time.Hour, 10)
		return err
	})
}

// reads are how often a table was read whole, and by an index.
type reads struct{ whole, index int }

func scans(t *testing.T, raw *sql.DB, table string) (r reads) {
	t.Helper()
	err := raw.QueryRow(`SELECT seq_scan, idx_scan FROM pg_stat_user_tables
		WHERE schemaname = current_schema() AND relname = $1`, table).Scan(&r.whole, &r.index)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
