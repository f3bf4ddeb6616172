package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// claimed makes n executions that a worker of the host's name is running, before the host itself has started.
func (h *host) claimed(n int) []attune.Fence {
	h.t.Helper()
	row := storetest.Worker(h.t, h.store, "w", n)
	fences := make([]attune.Fence, n)
	for i := range fences {
		id := h.submit("a.sh", "true", `{}`, nil)
		fences[i] = attune.Fence{ExecutionID: id, Attempt: 1, WorkerID: row.ID, Incarnation: row.Incarnation}
		storetest.Write(h.t, h.store, func(ctx context.Context, q *store.Queries) error {
			if _, err := q.MarkScheduled(ctx, row, []int64{id}); err != nil {
				return err
			}
			_, err := q.MarkRunning(ctx, fences[i:i+1])
			return err
		})
	}
	return fences
}

// spooled writes a file of the spool, as an earlier life would have left it.
func (h *host) spooled(number int, f attune.Fence, o attune.Outcome, left ...attune.Artifact) (path string) {
	h.t.Helper()
	text, err := json.Marshal(map[string]any{"fence": f, "outcome": o, "artifacts": left, "ended_at": time.Now()})
	if err != nil {
		h.t.Fatal(err)
	}
	path = h.spoolFile(number)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) spoolFile(number int) string {
	return filepath.Join(h.dir, "workers", "w", "spool", fmt.Sprintf("%09d.json", number))
}

// What the database will never take must neither keep its own execution from ending, nor those behind it, nor the
// worker from starting.
func TestRefusedEndingKeepsNobodyBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		h := newHostOn(t, db, nil)
		running := h.claimed(4)
		h.spooled(1, running[0], attune.Outcome{Status: "exploded"})
		h.spooled(2, running[1], attune.Outcome{Status: attune.StatusCompleted, Result: json.RawMessage(`{"n":2}`)})
		h.spooled(3, running[2], attune.Outcome{Status: attune.StatusCancelled}) // and nobody had asked for it
		forbidden := h.spooled(4, running[3], attune.Outcome{Status: attune.StatusCompleted})
		refuseChangesOf(t, db, running[3].ExecutionID)
		h.start()
		if row := h.untilIs(running[0].ExecutionID, attune.StatusFailed); row.Error == nil ||
			row.Error.Kind != attune.FailureSetup || !strings.Contains(row.Error.Message, "exploded") {
			t.Errorf("%+v", row.Error)
		}
		if row := h.untilIs(running[1].ExecutionID, attune.StatusCompleted); string(row.Result) != `{"n":2}` {
			t.Errorf("%s", row.Result)
		}
		if row := h.untilIs(running[2].ExecutionID, attune.StatusAbandoned); row.Error == nil || row.Error.Kind != attune.FailureWorkerLost {
			t.Errorf("%+v", row.Error)
		}
		if _, err := os.Stat(forbidden + ".refused"); err != nil {
			t.Error(err)
		}
		if row := h.run("b.sh", "true", `{}`); row.Status != attune.StatusCompleted {
			t.Errorf("the worker does not work on: %+v", row)
		}
	})
}

// refuseChangesOf has the database refuse whatever is to be written to an execution that is running, as one that is
// damaged would; the worker's start, which abandons it, gets through.
func refuseChangesOf(t *testing.T, db storetest.Database, id int64) {
	t.Helper()
	statements := []string{fmt.Sprintf(`CREATE TRIGGER forbidden BEFORE UPDATE ON execution
		WHEN OLD.id = %d AND NEW.status IN ('completed', 'failed') BEGIN SELECT RAISE(ABORT, 'forbidden'); END`, id)}
	if db.Dialect == "postgres" {
		statements = []string{
			`CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'forbidden'; END; $$`,
			fmt.Sprintf(`CREATE TRIGGER forbidden BEFORE UPDATE ON execution FOR EACH ROW
				WHEN (OLD.id = %d AND NEW.status IN ('completed', 'failed')) EXECUTE FUNCTION forbid()`, id),
		}
	}
	for _, statement := range statements {
		if _, err := db.Raw(t).Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that can't be read at this moment is not one that holds nothing: it stays for the next start, and no other
// takes its number.
func TestSpooledFileThatCantBeReadStays(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	if err := os.MkdirAll(h.spoolFile(7), 0o700); err != nil { // a directory can't be read as a file
		t.Fatal(err)
	}
	nothing := h.spoolFile(8)
	if err := os.WriteFile(nothing, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	if _, err := os.Stat(h.spoolFile(7)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(nothing + ".unreadable"); err != nil {
		t.Error(err)
	}
}
