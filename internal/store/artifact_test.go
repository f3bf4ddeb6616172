package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// leave stores rows of what an attempt has left on a worker.
func leave(t *testing.T, s *store.Store, id int64, worker string, at store.Location, names ...string) {
	t.Helper()
	var left []attune.Artifact
	for _, name := range names {
		left = append(left, attune.Artifact{Name: name, Type: attune.ArtifactFile, Bytes: 1, Attempt: 1})
	}
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		return q.PutArtifacts(ctx, store.Left{ExecutionID: id, Worker: worker, Artifacts: left, Location: at})
	})
}

func namesOf(rows []store.StoredArtifact) []string {
	names := []string{}
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names
}

func TestPendingArtifactsAreMarkedOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := db.Open(t), context.Background()
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		first, second := insert(t, s, action), insert(t, s, action)
		leave(t, s, second, "w", store.LocationPending, "a", "b")
		leave(t, s, first, "w", store.LocationPending, "c")
		leave(t, s, first, "v", store.LocationPending, "d")
		leave(t, s, first, "w", "", "e")
		pending, err := s.Read().PendingArtifacts(ctx, "w", 10)
		if diff := cmp.Diff([]string{"a", "b", "c"}, namesOf(pending)); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		if some, err := s.Read().PendingArtifacts(ctx, "w", 2); err != nil || len(some) != 2 {
			t.Errorf("%v %v", some, err)
		}
		ids := []int64{pending[0].ID, pending[2].ID, 1 << 40}
		for range 2 { // whether the first one was committed may never be known
			var there map[int64]bool
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
				there, err = q.MarkLocated(ctx, store.LocationStored, ids)
				return err
			})
			if diff := cmp.Diff(map[int64]bool{ids[0]: true, ids[1]: true}, there); diff != "" {
				t.Error(diff)
			}
		}
		if pending, err = s.Read().PendingArtifacts(ctx, "w", 10); err != nil || len(pending) != 1 || pending[0].Name != "b" {
			t.Errorf("%v %v", pending, err)
		}
		one, found, err := s.Read().Artifact(ctx, second, 1, "a")
		if err != nil || !found || one.Location != store.LocationStored || one.Worker != "w" || one.ExecutionID != second {
			t.Errorf("%+v %v %v", one, found, err)
		}
		if _, found, err := s.Read().Artifact(ctx, second, 2, "a"); found || err != nil {
			t.Errorf("of an attempt that never was: %v %v", found, err)
		}
	})
}

// What has come into the store since it was listed keeps its row: an object without one would be nobody's.
func TestArtifactStoredMeanwhileKeepsItsRow(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := db.Open(t), context.Background()
		id := insert(t, s, storetest.PutAction(t, s, storetest.Action("demo.hello")))
		leave(t, s, id, "w", store.LocationPending, "late", "pending")
		leave(t, s, id, "w", store.LocationStored, "stored")
		leave(t, s, id, "w", store.LocationWorker, "worker")
		expired := func(stored bool) []store.StoredArtifact {
			t.Helper()
			rows, err := s.Read().ExpiredArtifacts(ctx, time.Hour, stored, 10)
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error { return q.AgeArtifacts(ctx, id, 7200) })
		if rows := expired(true); len(rows) != 0 {
			t.Errorf("of an execution that has not ended: %v", namesOf(rows))
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			_, err := q.MarkEnded(ctx, id, attune.StatusRequested, attune.StatusCancelled, "t", attune.Failure{Kind: attune.FailureCancelled})
			return err
		})
		if rows := expired(false); len(rows) != 3 {
			t.Errorf("without a store: %v", namesOf(rows))
		}
		rows := expired(true)
		if len(rows) != 4 {
			t.Fatalf("with a store: %v", namesOf(rows))
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			for _, row := range rows {
				if row.Name == "late" {
					if _, err := q.MarkLocated(ctx, store.LocationStored, []int64{row.ID}); err != nil {
						return err
					}
				}
			}
			n, err := q.DeleteArtifacts(ctx, rows)
			if n != 3 {
				t.Errorf("%d rows were removed", n)
			}
			return err
		})
		if left, err := s.Read().Artifacts(ctx, id); err != nil || len(left) != 1 || left[0].Name != "late" {
			t.Errorf("%v %v", namesOf(left), err)
		}
	})
}

// The order of an attempt's output is a part of its row, and goes with it.
func TestOutputOrderIsKeptWithTheLog(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		id := insert(t, s, storetest.PutAction(t, s, storetest.Action("demo.hello")))
		var logs []attune.Artifact
		for _, stream := range []attune.Stream{attune.Stdout, attune.Stderr} {
			logs = append(logs, attune.Artifact{Name: stream.LogFile(), Type: attune.ArtifactLog, Bytes: 9, Attempt: 2})
		}
		want := attune.OutputOrder{0, 4, 9, 5}
		for range 2 { // Finish may be repeated
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
				return q.PutArtifacts(ctx, store.Left{ExecutionID: id, Worker: "w", Artifacts: logs, Order: want})
			})
		}
		assertOrder(t, s, id, 2, want)
		assertOrder(t, s, id, 1, nil)
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			rows, err := q.Artifacts(ctx, id)
			if err == nil {
				_, err = q.DeleteArtifacts(ctx, rows)
			}
			return err
		})
		assertOrder(t, s, id, 2, nil)
	})
}

func assertOrder(t *testing.T, s *store.Store, id int64, attempt int, want attune.OutputOrder) {
	t.Helper()
	got, err := s.Read().OutputOrder(context.Background(), id, attempt)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("attempt %d: %v\n%s", attempt, err, diff)
	}
}
