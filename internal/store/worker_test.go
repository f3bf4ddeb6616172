package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// Whoever looked before a registration finds the row taken, also where transactions run side by side.
func TestOneOfManyRegistersOverAnIncarnation(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := db.Open(t), context.Background()
		for seen := range int64(3) {
			const processes = 8
			incarnations := make([]int64, processes)
			var running sync.WaitGroup
			for i := range processes {
				running.Go(func() {
					err := s.Write(ctx, func(q *store.Queries) (err error) {
						_, incarnations[i], err = q.RegisterWorker(ctx, store.Registration{Name: "w", Seen: seen, Lease: time.Minute})
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			running.Wait()
			slices.Sort(incarnations)
			if incarnations[processes-2] != 0 || incarnations[processes-1] != seen+1 {
				t.Fatalf("over incarnation %d: %v", seen, incarnations)
			}
		}
	})
}

func TestRuntimesOfAnEarlierIncarnationAreNotStored(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		first := storetest.Worker(t, s, "w", 1)
		second := storetest.Worker(t, s, "w", 1)
		names := func() []string {
			row, err := s.Read().Worker(context.Background(), first.ID)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range row.Runtimes {
				names = append(names, r.Name+" "+r.Version)
			}
			return names
		}
		set := func(incarnation int64, name string) {
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
				return q.SetRuntimes(ctx, first.ID, incarnation, []attune.Runtime{{Name: name, Version: "1\x00\xff"}})
			})
		}
		set(first.Incarnation, attune.RuntimePython)
		if got := names(); !slices.Equal(got, []string{"shell 5.2"}) {
			t.Error(got)
		}
		set(second.Incarnation, attune.RuntimePython) // with a version that no text column takes as it is
		if got := names(); !slices.Equal(got, []string{"python 1\uFFFD\uFFFD"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestWorkerIsLostOnlyWhileItIsSilent(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		row := storetest.Worker(t, s, "w", 1)
		mark := func(incarnation int64, silent bool) (lost bool) {
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
				lost, err = q.MarkWorkerLost(ctx, row.ID, incarnation, silent)
				return err
			})
			return lost
		}
		beat := func() (p store.Pulse) {
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
				p, _, err = q.Heartbeat(ctx, row.ID, row.Incarnation, time.Minute)
				return err
			})
			return p
		}
		age := func() {
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error { return q.AgeWorker(ctx, row.ID, 1000) })
		}
		if mark(row.Incarnation, true) {
			t.Error("its lease is not over")
		}
		age()
		if beat(); mark(row.Incarnation, true) {
			t.Error("it was heard again")
		}
		age()
		if mark(row.Incarnation-1, true) {
			t.Error("another incarnation")
		}
		if !mark(row.Incarnation, true) {
			t.Error("it is silent")
		}
		if p := beat(); p.Status != attune.WorkerLost {
			t.Errorf("it must learn that it was lost: %s", p.Status)
		}
		if !mark(row.Incarnation, false) {
			t.Error("its lock tells, whatever its lease")
		}
	})
}

func TestManyArtifactsAreStoredOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		id := insert(t, s, storetest.PutAction(t, s, storetest.Action("demo.hello")))
		left := make([]attune.Artifact, 237)
		for i := range left {
			left[i] = attune.Artifact{Name: "files/" + string(rune('a'+i)), Type: attune.ArtifactFile, Bytes: int64(i), Attempt: 1}
		}
		for range 2 {
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
				return q.PutArtifacts(ctx, store.Left{ExecutionID: id, Worker: "w", Artifacts: left})
			})
		}
		stored, err := s.Read().Artifacts(context.Background(), id)
		if err != nil || len(stored) != len(left) {
			t.Fatal(len(stored), err)
		}
		slices.SortFunc(stored, func(a, b store.StoredArtifact) int { return int(a.Bytes - b.Bytes) })
		for i, a := range stored {
			if a.Name != left[i].Name || a.Bytes != int64(i) || a.Worker != "w" || a.Attempt != 1 {
				t.Errorf("%d: %+v", i, a)
			}
		}
	})
}

// What somebody has asked of a worker is still asked when it is heard again.
func TestSilentWorkerStillDrains(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		for _, asked := range []attune.WorkerStatus{attune.WorkerDraining, attune.WorkerCordoned} {
			row := storetest.Worker(t, s, string(asked), 1)
			var p store.Pulse
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
				if _, err := q.SetWorkerStatus(ctx, row.ID, asked, attune.WorkerActive); err != nil {
					return err
				}
				if err := q.AgeWorker(ctx, row.ID, 1000); err != nil {
					return err
				}
				if lost, err := q.MarkWorkerLost(ctx, row.ID, row.Incarnation, true); err != nil || !lost {
					t.Error(lost, err)
				}
				var err error
				p, _, err = q.Heartbeat(ctx, row.ID, row.Incarnation, time.Minute)
				return err
			})
			if p.Status != asked {
				t.Errorf("%s has become %s", asked, p.Status)
			}
		}
	})
}
