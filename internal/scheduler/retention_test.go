package scheduler_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/outage/outagetest"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// ended makes an execution that has left artifacts at a location, two hours ago.
func (y *yard) ended(worker string, at store.Location, names ...string) int64 {
	y.t.Helper()
	_, fence := silent(y, worker)
	if _, err := y.Finish(context.Background(), fence, attune.Outcome{Status: attune.StatusCompleted}, nil); err != nil {
		y.t.Fatal(err)
	}
	var left []attune.Artifact
	for _, name := range names {
		left = append(left, attune.Artifact{Name: name, Type: attune.ArtifactFile, Bytes: 1, Attempt: 1})
	}
	storetest.Write(y.t, y.store, func(ctx context.Context, q *store.Queries) error {
		err := q.PutArtifacts(ctx, store.Left{ExecutionID: fence.ExecutionID, Worker: worker, Artifacts: left, Location: at})
		return errors.Join(err, q.AgeArtifacts(ctx, fence.ExecutionID, 7200))
	})
	return fence.ExecutionID
}

func (y *yard) rows(id int64) int {
	y.t.Helper()
	rows, err := y.store.Read().Artifacts(context.Background(), id)
	if err != nil {
		y.t.Fatal(err)
	}
	return len(rows)
}

func TestRetentionRemovesObjectsFirst(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		y := newYard(t, storetest.SQLite(t))
		all, err := objects.New(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = all.Close() })
		old := y.ended("w", store.LocationStored, "files/a", "files/b")
		pending := y.ended("v", store.LocationPending, "files/c")
		young := y.ended("u", store.LocationStored, "files/d")
		storetest.Write(t, y.store, func(ctx context.Context, q *store.Queries) error { return q.AgeArtifacts(ctx, young, -7200) })
		keys := map[string]bool{
			artifact.Key("w", old, 1, "files/a"): false, artifact.Key("w", old, 1, "files/b"): false, artifact.Key("u", young, 1, "files/d"): true,
		}
		for key := range keys {
			if err := all.Put(t.Context(), key, strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
		}
		y.start(func(c *scheduler.Config) { c.Retention, c.Objects = time.Hour, all })
		storetest.Eventually(t, func() bool { return y.rows(old) == 0 && y.rows(pending) == 0 })
		if y.rows(young) != 1 {
			t.Error("what is not old is gone")
		}
		for key, want := range keys {
			object, err := all.Open(t.Context(), key, 0)
			if err == nil {
				object.Close()
			}
			if (err == nil) != want || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}

// A store that is away delays what it has, and nothing else.
func TestRetentionWaitsForTheStore(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t))
	dir := filepath.Join(t.TempDir(), "mounted")
	all, err := objects.New("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	stored, elsewhere := y.ended("w", store.LocationStored, "files/a"), y.ended("v", store.LocationWorker, "files/b")
	var log outagetest.Journal
	y.start(func(c *scheduler.Config) {
		c.Retention, c.Objects, c.RetainInterval, c.Logger = time.Hour, all, 20*time.Millisecond, log.Logger()
	})
	storetest.Eventually(t, func() bool { return y.rows(elsewhere) == 0 && log.Count("the artifact store is away") > 0 })
	if y.rows(stored) != 1 {
		t.Error("the row has gone before its object")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := all.Put(t.Context(), artifact.Key("w", stored, 1, "files/a"), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, func() bool { return y.rows(stored) == 0 })
	if _, err := os.Stat(filepath.Join(dir, "w")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the store still has something: %v", err)
	}
}

// Who has no store can't remove what is there, and leaves the rows that tell of it.
func TestRetentionWithoutTheStoreLeavesItsRows(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t))
	stored, elsewhere := y.ended("w", store.LocationStored, "files/a"), y.ended("v", store.LocationWorker, "files/b")
	y.start(func(c *scheduler.Config) { c.Retention = time.Hour })
	storetest.Eventually(t, func() bool { return y.rows(elsewhere) == 0 })
	if y.rows(stored) != 1 {
		t.Error("its object is nobody's now")
	}
}
