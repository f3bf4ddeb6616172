package e2e_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/testserver"
)

// TestPostgresRestartsInTheMiddle restarts PostgreSQL while a transaction of Claim or of Finish is open, and when it is
// committed and the worker can't know. The worker asks again until it knows, and what it runs, it runs once.
func TestPostgresRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	postgres, err := testserver.StartPostgres(true) // what it has committed is there after a crash
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := newHost(t, production, "ATTUNE__WORKER__HEARTBEAT_INTERVAL=60", "ATTUNE__DATABASE__URL="+postgres.URL)
	all := h.wired(postgres.URL)
	for _, at := range []struct {
		name      string
		statement string
		moment    moment
		status    attune.Status // that others see at that moment
		session   string        // what it does, says PostgreSQL
	}{
		{"of an open claim", claiming, beforeCommit, attune.StatusScheduled, "idle in transaction"},
		{"of a committed claim", claiming, afterCommit, attune.StatusRunning, "idle"},
		{"of an open finish", finishing, beforeCommit, attune.StatusRunning, "idle in transaction"},
		{"of a committed finish", finishing, afterCommit, attune.StatusCompleted, "idle"},
	} {
		t.Run(at.name, func(t *testing.T) {
			w := all.in(t)
			file := w.hand(at.name)
			ambush := w.statements.lay(at.statement, at.moment)
			id := w.insist(noting(file, "", nil))
			ambush.await(t)
			if status, session := w.seen(postgres.URL, id, ambush.port); status != at.status || session != at.session {
				t.Errorf("others see %s, and a session that is %s; want %s and %s", status, session, at.status, at.session)
			}
			postgres.Kill()
			ambush.drop()
			if err := postgres.Start(); err != nil {
				t.Fatal(err)
			}
			if e := w.becomes(w.Client, id, attune.StatusCompleted); e.Attempt != 1 {
				t.Errorf("%+v", e)
			}
			w.stays(id, attune.StatusCompleted, newMark())
			w.ranOnce(file, id)
		})
	}
}

// seen is what another session sees: the status of an execution, and what the session of a port does.
func (h *host) seen(database string, id int64, port int) (status attune.Status, session string) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), database)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	err = conn.QueryRow(h.t.Context(), `SELECT status, (SELECT state FROM pg_stat_activity WHERE client_port = $2)
		FROM execution WHERE id = $1`, id, port).Scan(&status, &session)
	if err != nil {
		h.t.Fatal(err)
	}
	return status, session
}
