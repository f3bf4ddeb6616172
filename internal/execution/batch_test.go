package execution_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// crowd has the ends of executions come together: while the first one waits for its row, the others queue behind it.
// It returns what each call said, in the order of the fences.
func (b *bench) crowd(raw *sql.DB, fences []attune.Fence) []error {
	b.t.Helper()
	free := hold(b.t, raw, fences[0].ExecutionID)
	ends := make([]chan error, len(fences))
	for i, f := range fences {
		ends[i] = make(chan error, 1)
		go func() {
			_, err := b.Finish(context.Background(), f, completed(), nil)
			ends[i] <- err
		}()
		if i == 0 {
			b.eventually(func() bool { return isWaitedFor(b.t, raw) })
		}
	}
	b.eventually(func() bool { return b.Finishing() == len(fences)-1 })
	free()
	said := make([]error, len(fences))
	for i, end := range ends {
		said[i] = <-end
	}
	return said
}

// hold locks the row of an execution until free is called.
func hold(tb testing.TB, raw *sql.DB, id int64) (free func()) {
	tb.Helper()
	tx, err := raw.BeginTx(context.Background(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := tx.Exec(`SELECT 1 FROM execution WHERE id = $1 FOR UPDATE`, id); err != nil {
		tb.Fatal(err)
	}
	free = func() { _ = tx.Rollback() }
	tb.Cleanup(free)
	return free
}

// isWaitedFor tells whether somebody waits for a row of this test's schema.
func isWaitedFor(tb testing.TB, raw *sql.DB) (yes bool) {
	tb.Helper()
	err := raw.QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_locks waiting JOIN pg_locks of ON of.pid = waiting.pid
		WHERE NOT waiting.granted AND of.relation = 'execution'::regclass)`).Scan(&yes)
	if err != nil {
		tb.Fatal(err)
	}
	return yes
}

func (b *bench) eventually(is func() bool) {
	b.t.Helper()
	late, look := time.After(20*time.Second), time.NewTicker(2*time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-late:
			b.t.Fatal("it never came to be")
		case <-look.C:
		}
	}
}

// manyRunning returns the fences of so many executions that run.
func (b *bench) manyRunning(n int) []attune.Fence {
	b.t.Helper()
	storetest.Worker(b.t, b.store, "w", n)
	fences := make([]attune.Fence, n)
	for i := range fences {
		fences[i] = b.running()
	}
	return fences
}

func TestCallsThatComeTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	b, raw := newBench(t, db, nil), db.Raw(t)
	running := b.manyRunning(21)
	for i, err := range b.crowd(raw, running) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	var first, others int
	err := raw.QueryRow(`SELECT count(DISTINCT xmin::text) FILTER (WHERE id = $1), count(DISTINCT xmin::text) FILTER (WHERE id <> $1)
		FROM execution WHERE status = 'completed'`, running[0].ExecutionID).Scan(&first, &others)
	if err != nil || first != 1 || others != 1 {
		t.Errorf("%d and %d transactions, want one for the first and one for all others: %v", first, others, err)
	}
}

// A call that is repeated while it is under way shares a transaction with itself.
func TestRepeatedCallsShareATransaction(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	b, raw := newBench(t, db, nil), db.Raw(t)
	running := b.manyRunning(3)
	twice := slices.Concat(running, running[1:], running[1:2])
	for i, err := range b.crowd(raw, twice) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, f := range running {
		b.is(f.ExecutionID, attune.StatusCompleted)
	}
}

// What is wrong with one call, or holds it up, is not the fault of those that came with it.
func TestCallsOfATransactionThatFailsAreMadeAlone(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		inject func(t *testing.T, raw *sql.DB, f attune.Fence)
		is     func(error) bool
	}{
		"refused by the database": {forbid, func(err error) bool { return err != nil && !errors.Is(err, store.ErrUnavailable) }},
		"locked by somebody else": {
			func(t *testing.T, raw *sql.DB, f attune.Fence) { t.Helper(); hold(t, raw, f.ExecutionID) },
			func(err error) bool { return errors.Is(err, store.ErrLocked) },
		},
		"over already": {
			func(t *testing.T, raw *sql.DB, f attune.Fence) {
				t.Helper()
				execute(t, raw, fmt.Sprintf(`UPDATE execution SET status = 'abandoned' WHERE id = %d`, f.ExecutionID))
			},
			func(err error) bool { return attune.ErrorCode(err) == attune.CodeStale },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Postgres(t)
			db.URL += "&lock_timeout=3s"
			b, raw := newBench(t, db, nil), db.Raw(t)
			running := b.manyRunning(4)
			fault.inject(t, raw, running[2])
			said := b.crowd(raw, running)
			for _, i := range []int{0, 1, 3} {
				if said[i] != nil {
					t.Errorf("%d: %v", i, said[i])
				}
				b.is(running[i].ExecutionID, attune.StatusCompleted)
			}
			if !fault.is(said[2]) {
				t.Errorf("the one that can't be written: %v", said[2])
			}
		})
	}
}

// forbid has the database refuse whatever is to be written to an execution.
func forbid(t *testing.T, raw *sql.DB, f attune.Fence) {
	t.Helper()
	execute(t, raw, `CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'forbidden'; END; $$`)
	execute(t, raw, fmt.Sprintf(
		`CREATE TRIGGER forbidden BEFORE UPDATE ON execution FOR EACH ROW WHEN (OLD.id = %d) EXECUTE FUNCTION forbid()`, f.ExecutionID))
}

func execute(t *testing.T, raw *sql.DB, statement string) {
	t.Helper()
	if _, err := raw.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
