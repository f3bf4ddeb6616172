package e2e_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/attune-automation/attune"
)

// deaf is a script that does not end by SIGTERM, but when the file is there; nor does what it starts.
const deaf = `trap '' TERM; bash -c 'echo begun; until [ -e "$PARAM_HOLD" ]; do sleep 0.02; done' "$PARAM_MARK"; exit 0`

// TestCancel cancels an execution in each status: there is one end, no process is left, and the slot is free again.
func TestCancel(t *testing.T) {
	t.Parallel()
	// The grace is longer than anything here: what is deaf is not killed.
	all := newWired(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=1", "ATTUNE__WORKER__KILL_GRACE=60")
	t.Run("requested", func(t *testing.T) {
		w := all.in(t)
		file, hold := w.hand("requested"), w.hand("requested hold")
		runs := w.submit(w.Client, script(untilHeld, map[string]string{"hold": hold}))
		w.becomes(w.Client, runs, attune.StatusRunning)
		id := w.submit(w.Client, noting(file, "", nil))
		w.becomes(w.Client, id, attune.StatusRequested)
		w.cancel(id, attune.StatusCancelled)
		w.touch(hold)
		w.becomes(w.Client, runs, attune.StatusCompleted)
		w.stays(id, attune.StatusCancelled, newMark())
		w.ranOnce(file)
	})
	t.Run("scheduled", func(t *testing.T) {
		w := all.in(t)
		file := w.hand("scheduled")
		w.toWorker.let(w.dispatches(), isLate)
		id := w.submit(w.Client, noting(file, "", nil))
		w.eventually("its dispatch is on the way", func() bool { return w.toWorker.countLate() == 1 })
		w.becomes(w.Client, id, attune.StatusScheduled)
		w.cancel(id, attune.StatusCancelled)
		w.toWorker.release(0)
		w.stays(id, attune.StatusCancelled, newMark())
		w.ranOnce(file)
	})
	t.Run("running", func(t *testing.T) {
		w := all.in(t)
		mark := newMark()
		id := w.submit(w.Client, script(wild[2], map[string]string{"mark": mark}))
		w.eventually("its daemon runs", func() bool { return len(living(t, mark)) >= 3 })
		w.cancel(id, attune.StatusCanceling)
		w.becomes(w.Client, id, attune.StatusCancelled)
		w.stays(id, attune.StatusCancelled, mark)
	})
	t.Run("canceling", func(t *testing.T) {
		w := all.in(t)
		mark, hold := newMark(), w.hand("canceling")
		id := w.runsDeaf(mark, hold)
		for range 3 {
			w.cancel(id, attune.StatusCanceling)
		}
		w.touch(hold)
		if e := w.becomes(w.Client, id, attune.StatusCancelled); e.ExitCode == nil || *e.ExitCode != 0 {
			t.Errorf("it did not end by itself: %+v", e)
		}
		w.refusesCancel(id)
		w.stays(id, attune.StatusCancelled, mark)
	})
	t.Run("canceling when its worker is killed", func(t *testing.T) {
		w := all.in(t)
		mark := newMark()
		id := w.runsDeaf(mark, w.hand("never"))
		w.cancel(id, attune.StatusCanceling)
		w.worker.kill()
		if len(living(t, mark)) == 0 {
			t.Fatal("nothing has outlived the worker: the fault proves nothing")
		}
		w.work(t)
		w.becomes(w.Client, id, attune.StatusCancelled)
		w.stays(id, attune.StatusCancelled, mark)
	})
}

// runsDeaf starts what is deaf until a file is there, and returns when it is.
func (w *wired) runsDeaf(mark, hold string) int64 {
	w.t.Helper()
	id := w.submit(w.Client, script(deaf, map[string]string{"mark": mark, "hold": hold}))
	w.becomes(w.Client, id, attune.StatusRunning)
	w.eventually("it is deaf", func() bool { return w.output(w.Client, id) == "begun\n" })
	return id
}

// refusesCancel asserts that what has ended can't be cancelled.
func (w *wired) refusesCancel(id int64) {
	w.t.Helper()
	if _, err := w.Cancel(w.t.Context(), id); attune.ErrorCode(err) != attune.CodeConflict {
		w.t.Errorf("cancel of what has ended: %v", err)
	}
}

// TestCancelRacesWithTheWorker cancels an execution while its worker claims it, and while it stores how it has
// completed. Each time it has one end, which both agree on.
func TestCancelRacesWithTheWorker(t *testing.T) {
	t.Parallel()
	all := newWired(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=1")
	for _, race := range []struct {
		name      string
		statement string // of the worker
		moment    moment
		waits     bool          // the cancel, for the worker's transaction
		answer    attune.Status // to the cancel; "" if it is refused
		want      attune.Status
		ran       bool // in any case
	}{
		{"before the claim", claiming, beforeStatement, false, attune.StatusCancelled, attune.StatusCancelled, false},
		{"in the middle of the claim", claiming, beforeCommit, true, attune.StatusCanceling, attune.StatusCancelled, false},
		{"after the claim", claiming, afterCommit, false, attune.StatusCanceling, attune.StatusCancelled, false},
		{"before the finish", finishing, beforeStatement, false, attune.StatusCanceling, attune.StatusCompleted, true},
		{"in the middle of the finish", finishing, beforeCommit, true, "", attune.StatusCompleted, true},
		{"after the finish", finishing, afterCommit, false, "", attune.StatusCompleted, true},
	} {
		t.Run(race.name, func(t *testing.T) {
			w := all.in(t)
			file, mark, more := w.hand(race.name), newMark(), `exec sleep "$PARAM_MARK"`
			if race.ran {
				more = ""
			}
			ambush := w.statements.lay(race.statement, race.moment)
			id := w.submit(w.Client, noting(file, more, map[string]string{"mark": mark}))
			ambush.await(t)
			answer := make(chan attune.Status, 1)
			go func() {
				e, err := w.Cancel(t.Context(), id)
				if err != nil && attune.ErrorCode(err) != attune.CodeConflict {
					t.Error(err)
				}
				answer <- e.Status
			}()
			if race.waits {
				w.eventually("the cancel waits for the worker", func() bool { return w.waitsFor(ambush.port) })
				ambush.pass()
			}
			if got := <-answer; got != race.answer {
				t.Errorf("cancel answered %q, want %q", got, race.answer)
			}
			if !race.waits {
				ambush.pass()
			}
			w.becomes(w.Client, id, race.want)
			w.refusesCancel(id)
			w.stays(id, race.want, mark)
			if race.ran {
				w.ranOnce(file, id)
			}
		})
	}
}

// waitsFor tells whether somebody waits for what the session of a port has locked.
func (h *host) waitsFor(port int) (waits bool) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.database.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	err = conn.QueryRow(h.t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE (SELECT pid FROM pg_stat_activity WHERE client_port = $1) = ANY (pg_blocking_pids(pid)))`, port).Scan(&waits)
	if err != nil {
		h.t.Fatal(err)
	}
	return waits
}
