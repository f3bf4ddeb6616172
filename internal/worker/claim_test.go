package worker_test

import (
	"context"
	"fmt"
	"testing"

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
	eventually(t, held)
	h.stop(nil)
	let()
	if err := h.wait(); err != nil {
		t.Error(err)
	}
	if row := h.untilIs(id, attune.StatusCompleted); row.Stdout.Bytes == 0 {
		t.Errorf("%+v", row.Execution)
	}
}
