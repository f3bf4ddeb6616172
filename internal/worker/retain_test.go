package worker_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

// ended stores an execution that was cancelled before it began, and returns its id.
func ended(t *testing.T, s *store.Store, action store.StoredAction) int64 {
	t.Helper()
	id := storetest.Insert(t, s, store.NewExecution{
		ActionID: action.ID, Action: action.Ref, MaxAttempts: 1, Class: "{}",
		Parameters: json.RawMessage("{}"), Env: json.RawMessage("{}"), Context: json.RawMessage("{}"),
	})
	storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
		_, err := q.MarkEnded(ctx, id, attune.StatusRequested, attune.StatusCancelled, "t", attune.Failure{Kind: attune.FailureCancelled})
		return err
	})
	return id
}

// aged makes a directory, with a file in it, that was last touched so long ago.
func aged(t *testing.T, dir string, age time.Duration) {
	t.Helper()
	file := filepath.Join(dir, "stdout.log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-age)
	for _, path := range []string{file, dir} {
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTidyDeletesWhatGoneWorkersLeft(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	db := storetest.OpenIn(t, data)
	action := storetest.PutAction(t, db, storetest.Action("demo.x"))
	artifacts := filepath.Join(data, "artifacts")
	host := worker.Host{Store: db, DataDir: data, ArtifactsDir: artifacts, Retention: 24 * time.Hour}
	storetest.Worker(t, db, "here", 1)
	execution := func(name string) string {
		id := ended(t, db, action)
		kept, err := artifact.New(artifacts, name)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(kept.Attempt(id, 1).LogPath(attune.Stdout))
	}
	digest := strings.Repeat("ab", 32)
	storetest.Write(t, db, func(ctx context.Context, q *store.Queries) error { return q.PutArchive(ctx, digest, []byte("x")) })
	old, young, alone := execution("gone"), execution("gone"), execution("gone-too")
	here, orphan, fresh := execution("here"), filepath.Join(artifacts, "gone", "execution_999"), filepath.Join(artifacts, "gone", "execution_998")
	known, unknown := filepath.Join(data, "packs", digest), filepath.Join(data, "packs", strings.Repeat("cd", 32))
	unpacking := filepath.Join(data, "packs", strings.Repeat("ef", 32))
	for dir, age := range map[string]time.Duration{
		old: 25 * time.Hour, young: 23 * time.Hour, alone: 25 * time.Hour, here: 25 * time.Hour, orphan: 2 * time.Hour,
		fresh: time.Minute, known: 48 * time.Hour, unknown: 48 * time.Hour, unpacking: time.Minute,
	} {
		aged(t, dir, age)
	}
	if err := host.Tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
	for dir, stays := range map[string]bool{
		old: false, young: true, filepath.Dir(alone): false, here: false, filepath.Dir(here): true, orphan: false, fresh: true,
		known: true, unknown: false, unpacking: true,
	} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", strings.TrimPrefix(dir, data), err, stays)
		}
	}
}

func TestTidyOfAnEmptyDataDirectory(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	host := worker.Host{Store: storetest.OpenIn(t, data), DataDir: data, ArtifactsDir: filepath.Join(data, "artifacts")}
	if err := host.Tidy(context.Background()); err != nil {
		t.Error(err)
	}
}
