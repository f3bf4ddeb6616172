package artifact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/artifact"
)

func TestSweepDeletesWhatIsChosen(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	for id := range int64(1200) {
		if _, err := store.Create(id+1, 1); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-8 * 24 * time.Hour)
	for _, id := range []string{"execution_5", "execution_6", "execution_700"} {
		if err := os.Chtimes(filepath.Join(root, id), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"execution_x", "execution_007", "execution_-1", "notes"} {
		put(t, filepath.Join(root, other, "f"), "")
	}
	before, seen := time.Now().Add(-7*24*time.Hour), 0
	deleted, err := store.Sweep(t.Context(), func(_ context.Context, batch []artifact.Kept) ([]int64, error) {
		seen += len(batch)
		var ids []int64
		for _, kept := range batch {
			if kept.Touched.Before(before) && kept.ID != 6 { // 6 still runs
				ids = append(ids, kept.ID)
			}
		}
		return ids, nil
	})
	if err != nil || deleted != 2 || seen != 1200 {
		t.Errorf("deleted %d of %d, %v", deleted, seen, err)
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1200-2+4 {
		t.Errorf("left %d, %v", len(left), err)
	}
}

func TestSweepStopsWhenTheCallerCannotJudge(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	for id := range int64(600) {
		if _, err := store.Create(id+1, 1); err != nil {
			t.Fatal(err)
		}
	}
	cause, calls := errors.New("database is away"), 0
	_, err := store.Sweep(t.Context(), func(context.Context, []artifact.Kept) ([]int64, error) {
		calls++
		return nil, cause
	})
	if !errors.Is(err, cause) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if left, _ := os.ReadDir(root); len(left) != 600 {
		t.Errorf("left %d", len(left))
	}
}

func TestSweepOfAWorkerThatNeverRanFindsNothing(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	if n, err := store.Sweep(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
