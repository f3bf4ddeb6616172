package api

import (
	"context"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestFleetIsReadAgainWhenItIsTooOld(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	var f fleet
	recent := func(age time.Duration) (workers int, now time.Time) {
		t.Helper()
		rows, now, err := f.recent(context.Background(), db, age)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows), now
	}
	storetest.Worker(t, db, "w1", 1)
	n, first := recent(time.Hour)
	if n != 1 {
		t.Errorf("%d workers before anything was read, want 1", n)
	}
	storetest.Worker(t, db, "w2", 1)
	n, second := recent(time.Hour)
	if n != 1 || !second.After(first) {
		t.Errorf("%d workers at %v after %v, want the one that was there, and a clock that goes on", n, second, first)
	}
	if n, third := recent(0); n != 2 || third.Before(first) {
		t.Errorf("%d workers at %v, want both", n, third)
	}
	ended, end := context.WithCancelCause(context.Background())
	end(nil)
	if _, _, err := f.recent(ended, db, 0); err == nil {
		t.Error("a look that failed was answered")
	}
	if n, _ := recent(time.Hour); n != 2 {
		t.Errorf("%d workers after a look that failed, want those of the last one", n)
	}
}
