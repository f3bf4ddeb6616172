package worker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// holdUp has each transition to a status wait inside of the database until let is called. held tells whether one waits.
func holdUp(t *testing.T, db storetest.Database, to attune.Status) (held func() bool, let func()) {
	t.Helper()
	raw := db.Raw(t)
	for _, statement := range []string{
		`CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN PERFORM pg_advisory_xact_lock_shared(4711, hashtext(current_schema())); RETURN NEW; END; $$`,
		fmt.Sprintf(`CREATE TRIGGER hold_up BEFORE UPDATE ON execution FOR EACH ROW
			WHEN (OLD.status <> NEW.status AND NEW.status = '%s') EXECUTE FUNCTION hold_up()`, to),
	} {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	holder, err := raw.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(query string) (yes bool) {
		t.Helper()
		if err := holder.QueryRowContext(context.Background(), query).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	ask(`SELECT pg_advisory_lock(4711, hashtext(current_schema())) IS NOT NULL`)
	held = func() bool {
		return ask(`SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND classid = 4711 AND objid::bigint = hashtext(current_schema())::bigint & 4294967295)`)
	}
	return held, func() { ask(`SELECT pg_advisory_unlock_all() IS NOT NULL`) }
}

// TestClaimUnderWayIsRunByAWorkerThatIsToEnd tells a worker to end while its claim is in the middle of the database, and
// lets the claim go through: what was claimed is run, and not abandoned.
func TestClaimUnderWayIsRunByAWorkerThatIsToEnd(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	h := newHostOn(t, db, nil).start()
	held, let := holdUp(t, db, attune.StatusRunning)
	id := h.submit("a.sh", "echo it ran", `{}`, nil)
	h.place()
	storetest.Eventually(t, held)
	h.stop(nil)
	let()
	if err := h.wait(); err != nil {
		t.Error(err)
	}
	if row := h.untilIs(id, attune.StatusCompleted); row.Stdout.Bytes == 0 {
		t.Errorf("%+v", row.Execution)
	}
}

// TestLockedRowKeepsNoOtherEndBack has somebody hold the row of one execution while that ends: what ends after it is
// stored meanwhile, and it is stored itself when its row is free again.
func TestLockedRowKeepsNoOtherEndBack(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	h := newHostOn(t, db, nil).start()
	hold := filepath.Join(t.TempDir(), "go")
	victim := h.submit("a.sh", `until [ -e "$PARAM_HOLD" ]; do sleep 0.05; done`, `{"hold":"`+hold+`"}`, nil)
	h.place()
	h.untilIs(victim, attune.StatusRunning)
	somebody, err := db.Raw(t).Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := somebody.Exec(`SELECT id FROM execution WHERE id = $1 FOR UPDATE`, victim); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	raw := db.Raw(t)
	waits := func() (yes bool) {
		err := raw.QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
			AND query LIKE '%UPDATE execution%')`).Scan(&yes)
		return err == nil && yes
	}
	storetest.Eventually(t, waits)
	// As long as it takes to be tried alone, given up, spooled, and tried again from there.
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
		begun := time.Now()
		if row := h.run("b.sh", "true", `{}`); row.Status != attune.StatusCompleted {
			t.Errorf("%+v", row.Execution)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("one that nobody holds took %v", took)
		}
	}
	if err := somebody.Rollback(); err != nil {
		t.Fatal(err)
	}
	h.untilIs(victim, attune.StatusCompleted)
}
