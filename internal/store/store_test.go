package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func insert(t *testing.T, s *store.Store, a store.StoredAction) int64 {
	t.Helper()
	return storetest.Insert(t, s, store.NewExecution{
		ActionID: a.ID, Action: a.Ref, MaxAttempts: 1, Class: `{"runtime":"shell"}`,
		Parameters: []byte(`{"message":"a\u0000b"}`), Env: []byte(`{}`), Context: []byte(`{}`),
	})
}

func TestTransitionsInSQLAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		raw := db.Raw(t)
		for _, from := range attune.Statuses() {
			for _, to := range attune.Statuses() {
				id := insert(t, s, action)
				walk(t, raw, id, from)
				_, err := raw.Exec(`UPDATE execution SET status = $1 WHERE id = $2`, to, id)
				if allowed := from == to || from.CanBecome(to); allowed != (err == nil) {
					t.Errorf("%s to %s: the table says %v, SQL says %v", from, to, allowed, err)
				}
			}
		}
	})
}

// walk takes a requested execution to a status by legal steps.
func walk(t *testing.T, db *sql.DB, id int64, to attune.Status) {
	t.Helper()
	path := map[attune.Status][]attune.Status{
		attune.StatusRequested: {},
		attune.StatusScheduled: {"scheduled"},
		attune.StatusRunning:   {"scheduled", "running"},
		attune.StatusCanceling: {"scheduled", "running", "canceling"},
		attune.StatusCompleted: {"scheduled", "running", "completed"},
		attune.StatusFailed:    {"scheduled", "running", "failed"},
		attune.StatusTimeout:   {"scheduled", "running", "timeout"},
		attune.StatusCancelled: {"cancelled"},
		attune.StatusAbandoned: {"scheduled", "running", "abandoned"},
	}
	for _, status := range path[to] {
		if _, err := db.Exec(`UPDATE execution SET status = $1 WHERE id = $2`, status, id); err != nil {
			t.Fatalf("walk to %s: %v", to, err)
		}
	}
}

func TestFinalIsFinalInSQL(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		raw := db.Raw(t)
		for _, status := range attune.Statuses() {
			if !status.Final() {
				continue
			}
			id := insert(t, s, action)
			walk(t, raw, id, status)
			for column, value := range map[string]any{
				"status": "running", "attempt": 2, "worker_id": 9, "worker_name": "x", "incarnation": 4, "result": []byte("1"),
				"error_kind": "exit", "error_message": "x", "finished_at": 1, "exit_code": 3, "signal": "SIGKILL",
			} {
				_, err := raw.Exec(`UPDATE execution SET `+column+` = $1 WHERE id = $2`, value, id)
				if err == nil || !strings.Contains(err.Error(), "final") && !strings.Contains(err.Error(), "illegal") {
					t.Errorf("%s: changing %s was not refused: %v", status, column, err)
				}
			}
			if _, err := raw.Exec(`UPDATE execution SET published_at = 7, cpu_ms = 5 WHERE id = $1`, id); err != nil {
				t.Errorf("%s: other columns must stay changeable: %v", status, err)
			}
		}
	})
}

func TestExecutionComesBackAsStored(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		id := insert(t, s, storetest.PutAction(t, s, storetest.Action("demo.hello")))
		got, err := s.Read().Execution(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Parameters) != `{"message":"a\u0000b"}` || got.Status != attune.StatusRequested || got.Attempt != 1 {
			t.Errorf("got %+v", got)
		}
		_, err = s.Read().Execution(context.Background(), id+1)
		if attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("a missing execution: %v", err)
		}
	})
}

func TestSeveralProcessesOpenOneNewDatabase(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { db.Open(t) })
		}
		wg.Wait()
	})
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		action := storetest.PutAction(t, db.Open(t), storetest.Action("demo.hello"))
		const writers, each = 4, 25
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				s := db.Open(t)
				for range each {
					insert(t, s, action)
				}
			})
		}
		wg.Wait()
		found, err := db.Open(t).Read().Executions(context.Background(), store.Filter{Limit: 1000})
		if err != nil || len(found.Rows) != writers*each {
			t.Fatalf("%d rows, %v", len(found.Rows), err)
		}
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		db.Open(t)
		if _, err := db.Raw(t).Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(context.Background(), store.Config{URL: db.URL, Dir: db.Dir})
		if attune.ErrorCode(err) != attune.CodeConflict || !strings.Contains(err.Error(), "9999") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSchemaVersionIsTheNewestMigration(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		db.Open(t)
		files, err := os.ReadDir("migrations/" + db.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		var newest, current int
		for _, f := range files {
			if _, err := fmt.Sscanf(f.Name(), "%d_", &newest); err != nil {
				t.Fatalf("%s: %v", f.Name(), err)
			}
		}
		if err := db.Raw(t).QueryRow(`SELECT max(version_id) FROM goose_db_version`).Scan(&current); err != nil {
			t.Fatal(err)
		}
		if current != newest || current != store.SchemaVersion {
			t.Errorf("applied %d, newest file %d, known %d", current, newest, store.SchemaVersion)
		}
		db.Open(t) // which finds nothing to do
	})
}

func TestUnreadableDatabaseNamesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "attune.db"), []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(context.Background(), store.Config{URL: "sqlite:attune.db", Dir: dir, MaxConnections: 1})
	if err == nil || !strings.Contains(err.Error(), "attune.db") {
		t.Errorf("got %v", err)
	}
}

func TestPacksAndActions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := db.Open(t), context.Background()
		first := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			return q.PutPack(ctx, attune.Pack{Ref: "demo", Digest: "d0", Version: "1", Label: "Demo", Tags: []string{"a"}})
		})
		got, err := s.Read().Action(ctx, "demo.hello")
		if err != nil || !cmp.Equal(got, first) {
			t.Errorf("action: %v %s", err, cmp.Diff(first, got))
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error { return q.DeletePack(ctx, "demo") })
		if _, err := s.Read().Action(ctx, "demo.hello"); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("a removed pack's action is still there: %v", err)
		}
		if kept, err := s.Read().ActionVersion(ctx, first.ID); err != nil || kept.Ref != "demo.hello" {
			t.Errorf("the version that executions keep: %v %v", kept, err)
		}
	})
}

func TestPruneKeepsWhatExecutionsNeed(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := db.Open(t), context.Background()
		used, unused := storetest.Action("adhoc.used"), storetest.Action("adhoc.unused")
		used.Digest, unused.Digest = "d1", "d2"
		var usedID int64
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
			for _, a := range []attune.Action{used, unused} {
				if err := q.PutArchive(ctx, a.Digest, []byte(a.Ref)); err != nil {
					return err
				}
			}
			if usedID, err = q.PutAction(ctx, used, false); err != nil {
				return err
			}
			_, err = q.PutAction(ctx, unused, false)
			return err
		})
		insert(t, s, store.StoredAction{ID: usedID, Action: used})
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			n, err := q.Prune(ctx, -time.Second, 10)
			if n != 2 {
				t.Errorf("pruned %d rows, want the unused action and its archive", n)
			}
			return err
		})
		if _, err := s.Read().Archive(ctx, "d1"); err != nil {
			t.Errorf("the used archive: %v", err)
		}
		if _, err := s.Read().Archive(ctx, "d2"); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("the unused archive: %v", err)
		}
	})
}

func TestDatabaseIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storetest.OpenIn(t, dir)
	storetest.Worker(t, db, "one", 1)
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", file, info.Mode())
		}
	}
}

func TestAnyTextEndsAnExecution(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		worker := storetest.Worker(t, s, "w", 1)
		id := insert(t, s, action)
		fence := attune.Fence{ExecutionID: id, Attempt: 1, WorkerID: worker.ID, Incarnation: worker.Incarnation}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			if _, err := q.MarkScheduled(ctx, worker, []int64{id}); err != nil {
				return err
			}
			if _, err := q.MarkRunning(ctx, []attune.Fence{fence}); err != nil {
				return err
			}
			_, err := q.MarkFinished(ctx, attune.StatusRunning, []store.Ended{{Fence: fence, Outcome: attune.Outcome{
				Status: attune.StatusFailed, Result: []byte("\"a\\u0000\""),
				Failure: &attune.Failure{Kind: attune.FailureExit, Message: "NUL \x00 and \xff\xfe"},
			}}})
			return err
		})
		row, err := s.Read().Execution(context.Background(), id)
		if err != nil || row.Error == nil || row.Error.Message != "NUL \uFFFD and \uFFFD" {
			t.Errorf("%+v %v", row.Error, err)
		}
	})
}
