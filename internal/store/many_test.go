package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// asked returns n requests for executions that differ in a parameter.
func asked(action store.StoredAction, n int) []store.NewExecution {
	all := make([]store.NewExecution, n)
	for i := range all {
		all[i] = store.NewExecution{
			ActionID: action.ID, Action: action.Ref, MaxAttempts: 1, Class: `{"runtime":"shell"}`,
			Parameters: fmt.Appendf(nil, `{"n":%d}`, i), Env: []byte(`{}`), Context: []byte(`{}`),
		}
	}
	return all
}

// placed submits n executions and places them on a worker.
func placed(t *testing.T, s *store.Store, action store.StoredAction, worker store.WorkerRow, n int) (fences []attune.Fence) {
	t.Helper()
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		rows, err := q.InsertExecutions(ctx, asked(action, n))
		if err != nil {
			return err
		}
		ids := make([]int64, n)
		for i, r := range rows {
			ids[i] = r.ID
		}
		attempts, err := q.MarkScheduled(ctx, worker, ids)
		for _, id := range ids {
			fences = append(fences, attune.Fence{
				ExecutionID: id, Attempt: attempts[id], WorkerID: worker.ID, Incarnation: worker.Incarnation,
			})
		}
		return err
	})
	return fences
}

// moved takes n executions from their submission to their end, each step in one statement.
func moved(t *testing.T, s *store.Store, action store.StoredAction, worker store.WorkerRow, n int) {
	t.Helper()
	fences := placed(t, s, action, worker, n)
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		if got, err := q.MarkRunning(ctx, fences); err != nil || len(got) != n {
			return fmt.Errorf("%d of %d were claimed: %w", len(got), n, err)
		}
		ended, left := make([]store.Ended, n), make([]store.Left, n)
		for i, f := range fences {
			ended[i] = store.Ended{Fence: f, Outcome: attune.Outcome{Status: attune.StatusCompleted}}
			left[i] = store.Left{ExecutionID: f.ExecutionID, Worker: worker.Name, Artifacts: []attune.Artifact{{
				Name: "stdout.log", Type: attune.ArtifactLog, Attempt: 1,
			}}}
		}
		if done, err := q.MarkFinished(ctx, attune.StatusRunning, ended); err != nil || len(done) != n {
			return fmt.Errorf("%d of %d were finished: %w", len(done), n, err)
		}
		return q.PutArtifacts(ctx, left...)
	})
}

func slotsUsed(t *testing.T, s *store.Store, name string) int {
	t.Helper()
	row, err := s.Read().WorkerByName(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return row.SlotsUsed
}

// Of many executions in one statement each gets what is its own, and those that have moved on get nothing.
func TestManyMoveInOneStatement(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		worker := storetest.Worker(t, s, "w", 20)
		fences := placed(t, s, action, worker, 11)
		if used := slotsUsed(t, s, "w"); used != 11 {
			t.Errorf("%d slots are taken, want 11", used)
		}
		fences[2].Attempt = 2             // never was
		fences[5].Incarnation++           // not begun
		fences[7].ExecutionID = 1_000_000 // nobody's
		stale := map[int]bool{2: true, 5: true, 7: true}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			got, err := q.MarkRunning(ctx, fences)
			for i, f := range fences {
				c, ok := got[f]
				if ok == stale[i] || ok && (string(c.Parameters) != fmt.Sprintf(`{"n":%d}`, i) || c.Status != attune.StatusRunning) {
					t.Errorf("claim %d: %v %s %s", i, ok, c.Status, c.Parameters)
				}
			}
			return err
		})
		ended := make([]store.Ended, len(fences))
		for i, f := range fences {
			ended[i] = store.Ended{Fence: f, Outcome: attune.Outcome{
				Status: attune.StatusCompleted, ExitCode: new(i), Result: fmt.Appendf(nil, `"\u0000 %d"`, i),
				Stdout: attune.Output{Bytes: int64(i)},
			}}
		}
		ended[3].Outcome = attune.Outcome{Status: attune.StatusTimeout, Failure: &attune.Failure{Kind: attune.FailureTimeout, Message: "late"}}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			done, err := q.MarkFinished(ctx, attune.StatusRunning, ended)
			for i, f := range fences {
				if one, ok := done[f]; ok == stale[i] || ok && (one.Action != action.Ref || one.Worker != "w" || one.At.IsZero()) {
					t.Errorf("finish %d: %v %+v", i, ok, one)
				}
			}
			return err
		})
		for i, f := range fences {
			if stale[i] {
				continue
			}
			row, err := s.Read().Execution(context.Background(), f.ExecutionID)
			switch {
			case err != nil:
				t.Error(err)
			case i == 3:
				if row.Status != attune.StatusTimeout || row.Error == nil || row.Error.Message != "late" || row.ExitCode != nil || row.Result != nil {
					t.Errorf("%d: %+v", i, row.Execution)
				}
			case row.Status != attune.StatusCompleted || *row.ExitCode != i || string(row.Result) != fmt.Sprintf(`"\u0000 %d"`, i) ||
				row.Stdout.Bytes != int64(i) || row.Error != nil:
				t.Errorf("%d: %+v", i, row.Execution)
			}
		}
		if used := slotsUsed(t, s, "w"); used != 3 { // those that nobody has named rightly
			t.Errorf("%d slots are taken, want 3", used)
		}
	})
}

// Of many submissions in one statement each gets its own row, and one whose idempotency key was used gets none.
func TestManyAreSubmittedInOneStatement(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		all := asked(action, 9)
		all[4].Parameters = all[3].Parameters // alike in all
		all[1].IdempotencyKey, all[6].IdempotencyKey = "once", "once"
		all[8].IdempotencyKey, all[8].Parameters = "other", all[3].Parameters
		var rows []store.ExecutionRow
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
			rows, err = q.InsertExecutions(ctx, all)
			return err
		})
		seen := map[int64]bool{}
		for i, r := range rows {
			if i == 6 {
				if r.ID != 0 {
					t.Errorf("the second one with a key has become %d", r.ID)
				}
				continue
			}
			if r.ID == 0 || seen[r.ID] || string(r.Parameters) != string(all[i].Parameters) {
				t.Errorf("%d: id %d with %s", i, r.ID, r.Parameters)
			}
			seen[r.ID] = true
		}
		if id, _, err := s.Read().ByIdempotencyKey(context.Background(), "other"); err != nil || id != rows[8].ID {
			t.Errorf("the key belongs to %d, want %d: %v", id, rows[8].ID, err)
		}
	})
}

// What is planned while the table is empty must not read it from end to end when it has grown.
func TestPlansOfAnEmptyTableServeALargeOne(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	observer := db.Raw(t)
	counted := db
	counted.URL += "&application_name=" + t.Name()
	s := counted.Open(t)
	action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
	worker := storetest.Worker(t, s, "w", 100)
	ended := func() (execution, worker reads) {
		t.Helper()
		if err := s.Close(); err != nil { // what a session has counted is told at its end at the latest
			t.Fatal(err)
		}
		storetest.Eventually(t, func() bool { return sessions(t, observer, t.Name()) == 0 })
		return scans(t, observer, "execution"), scans(t, observer, "worker")
	}
	executions, workers := ended() // making an index reads the table
	s = counted.Open(t)
	for n := range 20 {
		for range 6 { // from then on PostgreSQL keeps a plan
			moved(t, s, action, worker, n+1)
		}
	}
	executionsNow, workersNow := ended()
	for table, read := range map[string][2]reads{"execution": {executions, executionsNow}, "worker": {workers, workersNow}} {
		if before, after := read[0], read[1]; after.whole > before.whole || after.index == before.index {
			t.Errorf("%s: read %+v, before that %+v", table, after, before)
		}
	}
}
