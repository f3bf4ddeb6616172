// Package storetest opens real databases for tests and makes the rows that many of them need.
package storetest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// Open returns a store on a new SQLite file, closed when the test ends.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenIn(t, t.TempDir())
}

// OpenIn returns a store on the SQLite file in dir, as another process on the same data directory would open it.
func OpenIn(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{
		URL: "sqlite:attune.db", Dir: dir, MaxConnections: 4, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// Action returns a small shell action.
func Action(ref attune.Ref) attune.Action {
	return attune.Action{
		Ref: ref, Runtime: attune.RuntimeShell, EntryPoint: "actions/x.sh", Digest: "d0",
		Parameters: json.RawMessage(`{"type":"object"}`),
		Delivery:   attune.DeliverStdin, Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
	}
}

// PutAction installs an action and returns it with its row's id.
func PutAction(t testing.TB, s *store.Store, a attune.Action) store.StoredAction {
	t.Helper()
	var id int64
	Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
		id, err = q.PutAction(ctx, a, true)
		return err
	})
	return store.StoredAction{ID: id, Action: a}
}

// Worker registers a worker that can run shell actions and returns its row.
func Worker(t testing.TB, s *store.Store, name string, slots int) store.WorkerRow {
	t.Helper()
	Write(t, s, func(ctx context.Context, q *store.Queries) error {
		_, _, err := q.RegisterWorker(ctx, store.Registration{
			Name: name, Type: attune.WorkerTypeLocal, Host: name, Slots: slots, Lease: 90e9,
			Runtimes: []attune.Runtime{{Name: attune.RuntimeShell, Version: "5.2"}},
		})
		return err
	})
	row, err := s.Read().WorkerByName(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// Write runs do in a transaction that must succeed.
func Write(t testing.TB, s *store.Store, do func(context.Context, *store.Queries) error) {
	t.Helper()
	ctx := context.Background()
	if err := s.Write(ctx, func(q *store.Queries) error { return do(ctx, q) }); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// Age moves the times of an execution's row into the past, as if so much time had gone by.
func Age(t testing.TB, s *store.Store, id int64, seconds int64) {
	t.Helper()
	Write(t, s, func(ctx context.Context, q *store.Queries) error { return q.AgeExecution(ctx, id, seconds) })
}
