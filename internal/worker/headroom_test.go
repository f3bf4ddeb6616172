package worker_test

import (
	"context"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/worker"
)

func TestGivesBackWhatWasPlacedBeforeItsRowSaidThatTheHostIsShort(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.MinFree.Memory = 1 << 60 }).start()
	ctx := context.Background()
	w, err := h.store.Read().WorkerByName(ctx, "w")
	if err != nil || len(w.ShortOf) != 1 || w.ShortOf[0].Resource != attune.ResourceMemory {
		t.Fatalf("%+v %v", w, err)
	}
	id := h.submit("a.sh", "echo never", `{}`, nil)
	if n := h.place(); n != 0 {
		t.Fatalf("%d placed on a worker that is short", n)
	}
	// The scheduler has read the row in the moment before.
	err = h.store.Single(ctx, func(q *store.Queries) error { return q.SetShortOf(ctx, w.ID, w.Incarnation, nil) })
	if err != nil {
		t.Fatal(err)
	}
	if n := h.place(); n != 1 {
		t.Fatalf("%d placed", n)
	}
	h.untilIs(id, attune.StatusRequested)
}
