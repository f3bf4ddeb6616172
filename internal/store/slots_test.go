package store_test

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// TestSlotsInUseNeverDrift lets several writers take executions through everything that SQL lets happen to them, also
// what the program never does, and compares the slots in use with the rows that take them.
func TestSlotsInUseNeverDrift(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		const writers, steps = 4, 150
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		workers := []any{nil}
		for _, name := range []string{"a", "b", "c"} {
			workers = append(workers, storetest.Worker(t, s, name, 5).ID)
		}
		for range 12 {
			insert(t, s, action)
		}
		changed := make([]int64, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				raw := db.Raw(t)
				for range steps {
					changed[i] += upheave(raw, workers[rand.IntN(len(workers))])
				}
			})
		}
		wg.Wait()
		kept, held := counts(t, db.Raw(t))
		if diff := cmp.Diff(held, kept); diff != "" {
			t.Errorf("slots in use are not what the rows say:\n%s", diff)
		}
		for i, n := range changed {
			if n < steps/10 {
				t.Errorf("writer %d changed %d rows", i, n)
			}
		}
		rows, err := s.Read().Workers(context.Background())
		if err != nil || len(rows) != 3 || rows[0].SlotsUsed != held["a"] {
			t.Errorf("%+v %v", rows, err)
		}
	})
}

// upheave does something to one of the executions and returns how many rows it has changed. What the other triggers
// refuse changes none, nor does what loses against another writer.
func upheave(raw *sql.DB, worker any) int64 {
	status := attune.Statuses()[rand.IntN(len(attune.Statuses()))]
	const one = ` WHERE id = (SELECT id FROM execution ORDER BY (id * 7919 + $1) % 101 LIMIT 1)`
	statement, args := `UPDATE execution SET status = $2, worker_id = $3`+one, []any{rand.IntN(101), string(status), worker}
	switch rand.IntN(10) {
	case 0:
		statement, args = `UPDATE execution SET worker_id = $2`+one, []any{rand.IntN(101), worker}
	case 1:
		statement, args = `DELETE FROM execution`+one, []any{rand.IntN(101)}
	case 2, 3, 4:
		statement, args = `INSERT INTO execution (status, worker_id, action_id, action_ref, attempt, max_attempts, class, class_key,
				request_digest, timeout_us, trace, not_before, published_at, created_at, parameters, env, context)
			SELECT $1, $2, id, ref, 1, 1, '', '', '', 0, FALSE, 0, 0, 0, '{}', '{}', '{}' FROM action`, []any{string(status), worker}
	}
	done, err := raw.Exec(statement, args...)
	if err != nil {
		return 0
	}
	n, _ := done.RowsAffected() // both databases tell
	return n
}

// counts returns each worker's slots in use, as they are kept, and as the rows of executions say.
func counts(t *testing.T, raw *sql.DB) (kept, held map[string]int) {
	t.Helper()
	kept, held = map[string]int{}, map[string]int{}
	rows, err := raw.Query(`SELECT name, slots_used, (SELECT count(*) FROM execution e
		WHERE e.worker_id = worker.id AND e.status IN ('scheduled', 'running', 'canceling')) FROM worker`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what matters
	for rows.Next() {
		var name string
		var k, h int
		if err := rows.Scan(&name, &k, &h); err != nil {
			t.Fatal(err)
		}
		kept[name], held[name] = k, h
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return kept, held
}
