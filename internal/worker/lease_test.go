package worker_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/testserver"
	"github.com/attune-automation/attune/internal/worker"
)

func leased(heartbeat, grace time.Duration) func(*worker.Config) {
	return func(c *worker.Config) { c.Leased, c.Heartbeat, c.KillGrace = true, heartbeat, grace }
}

func retriedWhenAbandoned(a *attune.Action) {
	a.Retry = attune.Retry{MaxAttempts: 2, On: []attune.Status{attune.StatusAbandoned}}
}

// However long the grace is, and however short the lease: who renews it keeps what it runs.
func TestWorkerThatRenewsItsLeaseKeepsItsWork(t *testing.T) {
	t.Parallel()
	h := newHost(t, leased(500*time.Millisecond, time.Minute)).start()
	id := h.submit("a.sh", `sleep 3; echo done`, `{}`, retriedWhenAbandoned)
	h.place()
	if row := h.until(id, attune.Status.Final); row.Status != attune.StatusCompleted || row.Attempt != 1 {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
}

// TestNothingThatRunsElsewhereOutlivesTheLease cuts a worker off from its database: of two actions that ignore every
// signal but SIGKILL, the one that another worker may get is gone before the lease is, though its grace is longer.
func TestNothingThatRunsElsewhereOutlivesTheLease(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	network, through := testserver.Through(t, db.URL)
	db.URL = through
	const heartbeat = 2 * time.Second
	h := newHostOn(t, db, leased(heartbeat, time.Minute)).start()
	const stubborn = `trap '' TERM; echo $$ > "$PARAM_FILE.new"; mv "$PARAM_FILE.new" "$PARAM_FILE"; while :; do sleep 0.05; done`
	pid := func(name string, change func(*attune.Action)) int {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		id := h.submit("a.sh", stubborn, `{"file":"`+file+`"}`, change)
		h.place()
		h.untilIs(id, attune.StatusRunning)
		var text []byte
		storetest.Eventually(t, func() (there bool) {
			var err error
			text, err = os.ReadFile(file)
			return err == nil
		})
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	elsewhere, here := pid("elsewhere", retriedWhenAbandoned), pid("here", nil)
	before := h.lastHeartbeat()
	storetest.Eventually(t, func() bool { return h.lastHeartbeat().After(before) }) // the lease is whole
	network.Freeze()
	frozen := time.Now()
	storetest.Eventually(t, func() bool { return syscall.Kill(elsewhere, 0) != nil })
	if lived := time.Since(frozen); lived > 3*heartbeat {
		t.Errorf("it was there %v after the last heartbeat, and the lease is %v", lived, 3*heartbeat)
	}
	if err := syscall.Kill(here, 0); err != nil {
		t.Errorf("what nobody else runs was ended: %v", err)
	}
	network.Thaw()
	h.worker.Kill()
	_ = h.wait()
}

// What is claimed when the lease can hardly last any more does not begin: another worker may be given it.
func TestClaimNearTheEndOfTheLeaseIsNotRun(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	const heartbeat, grace = time.Second, 100 * time.Millisecond
	h := newHostOn(t, db, leased(heartbeat, grace)).start()
	raw := db.Raw(t)
	for _, statement := range []string{
		`CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no heartbeat'; END; $$`,
		`CREATE TRIGGER forbid BEFORE UPDATE OF last_heartbeat ON worker FOR EACH ROW EXECUTE FUNCTION forbid()`,
	} {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	last := h.lastHeartbeat()
	storetest.Eventually(t, func() bool { // by then it is too late, and the lease is still there
		now, err := h.store.Read().Now(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return now.Sub(last) > 3*heartbeat-heartbeat/2-grace
	})
	marks := [2]string{filepath.Join(t.TempDir(), "elsewhere"), filepath.Join(t.TempDir(), "here")}
	elsewhere := h.submit("a.sh", `touch "$PARAM_FILE"`, `{"file":"`+marks[0]+`"}`, retriedWhenAbandoned)
	here := h.submit("b.sh", `touch "$PARAM_FILE"`, `{"file":"`+marks[1]+`"}`, nil)
	if n := h.place(); n != 2 {
		t.Fatalf("%d were placed", n)
	}
	h.untilIs(here, attune.StatusCompleted)
	storetest.Eventually(t, func() bool {
		row, err := h.store.Read().Execution(context.Background(), elsewhere)
		return err == nil && row.Attempt == 2
	})
	if _, err := os.Stat(marks[0]); err == nil {
		t.Error("what another worker may be given has begun here")
	}
	if _, err := os.Stat(marks[1]); err != nil {
		t.Error("what nobody else is given has not run:", err)
	}
}

func (h *host) lastHeartbeat() time.Time {
	h.t.Helper()
	row, err := h.store.Read().Worker(context.Background(), h.worker.ID())
	if err != nil {
		h.t.Fatal(err)
	}
	return row.LastHeartbeat
}

// TestStartWaitsForADatabaseThatGoesAway cuts the network between the opening of the database and the registration.
func TestStartWaitsForADatabaseThatGoesAway(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	network, through := testserver.Through(t, db.URL)
	db.URL = through
	h := newHostOn(t, db, leased(time.Second, time.Second))
	network.Cut()
	h.begin()
	storetest.Eventually(t, func() bool { return network.Refused.Load() > 3 })
	network.Restore()
	select {
	case <-h.worker.Registered():
	case <-time.After(patience):
		t.Error("the worker did not start")
	}
}

// TestRegistrationThatIsNotCommittedIsNone has the commit of a registration fail, and a namesake register meanwhile: the
// worker must wait for that one's lease, and not take itself for registered.
func TestRegistrationThatIsNotCommittedIsNone(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	h := newHostOn(t, db, leased(time.Second, time.Second))
	raw := db.Raw(t)
	do := func(statement string) {
		t.Helper()
		if _, err := raw.Exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	do(`CREATE TABLE gate (is_open BOOLEAN)`)
	do(`INSERT INTO gate VALUES (FALSE)`)
	do(`CREATE SEQUENCE tries`) // which counts also what is rolled back
	do(`CREATE FUNCTION at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.home <> 'other' AND NOT (SELECT is_open FROM gate) THEN
			PERFORM nextval('tries');
			RAISE EXCEPTION 'closed' USING ERRCODE = '57P03';
		END IF;
		RETURN NULL; END; $$`)
	do(`CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON worker DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION at_the_gate()`)
	h.begin()
	storetest.Eventually(t, func() (tried bool) {
		return raw.QueryRow(`SELECT is_called FROM tries`).Scan(&tried) == nil && tried
	})
	var other int64 // its lease lasts for a look or two of the worker's
	storetest.Write(t, h.store, func(ctx context.Context, q *store.Queries) (err error) {
		other, _, err = q.RegisterWorker(ctx, store.Registration{Name: "w", Host: "elsewhere", Slots: 1, Lease: 3 * time.Second, Home: "other"})
		return err
	})
	do(`UPDATE gate SET is_open = TRUE`)
	storetest.Eventually(t, func() bool {
		row, err := h.store.Read().WorkerByName(t.Context(), "w")
		return err == nil && row.Incarnation == 2 && row.Home != "other"
	})
	<-h.worker.Registered()
	if h.worker.ID() != other {
		t.Errorf("it is worker %d, and the row is %d", h.worker.ID(), other)
	}
}
