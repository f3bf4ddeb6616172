package api

import (
	"context"
	"sync"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// lookInterval is how often who waits looks at the row, whatever the broker brings.
const lookInterval = time.Second

// watchers are the requests that wait for changes. The zero value is ready for use.
type watchers struct {
	mu    sync.Mutex
	wakes map[int64]map[chan struct{}]interest // by execution
}

// interest tells whether somebody waits for a status.
type interest func(attune.Status) bool

func anyStatus(attune.Status) bool { return true }

// watch returns a channel that gets a value when the execution may have come to one of these statuses.
func (w *watchers) watch(id int64, of interest) (wake <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wakes == nil {
		w.wakes = map[int64]map[chan struct{}]interest{}
	}
	if w.wakes[id] == nil {
		w.wakes[id] = map[chan struct{}]interest{}
	}
	w.wakes[id][ch] = of
	return ch, func() { w.forget(id, ch) }
}

func (w *watchers) forget(id int64, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wakes[id], ch)
	if len(w.wakes[id]) == 0 {
		delete(w.wakes, id)
	}
}

// tell wakes who waits for the execution.
func (w *watchers) tell(change broker.ExecutionStatusChanged) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wake, of := range w.wakes[change.ExecutionID] {
		if !of(change.NewStatus) {
			continue
		}
		select {
		case wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// await returns the row of an execution as soon as it is as wanted. It ends with the cause of ctx.
func (a *API) await(ctx context.Context, id int64, wanted func(store.ExecutionRow) bool) (store.ExecutionRow, error) {
	return a.awaitOn(ctx, id, anyStatus, wanted)
}

// awaitEnd returns the row of an execution as soon as it has ended.
func (a *API) awaitEnd(ctx context.Context, id int64) (store.ExecutionRow, error) {
	return a.awaitOn(ctx, id, attune.Status.Final, func(row store.ExecutionRow) bool { return row.Status.Final() })
}

// awaitOn looks at the row at first, when a message tells of one of these statuses, and now and then.
func (a *API) awaitOn(ctx context.Context, id int64, of interest, wanted func(store.ExecutionRow) bool) (store.ExecutionRow, error) {
	wake, stop := a.watchers.watch(id, of)
	defer stop()
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		row, err := a.row(ctx, id)
		if err != nil || wanted(row) {
			return row, err
		}
		select {
		case <-ctx.Done():
			return row, context.Cause(ctx)
		case <-wake:
		case <-look.C:
		}
	}
}
