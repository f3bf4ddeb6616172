package api

import (
	"context"
	"sync"
	"time"

	"github.com/attune-automation/attune/internal/store"
)

// fleetAge is how old the workers may be from which a submission is told what it waits for. It is asked for with every
// submission: to read a whole fleet for each would cost more than the submission.
const fleetAge = 500 * time.Millisecond

// fleet is the workers as they were a moment ago. The zero value is ready for use.
type fleet struct {
	mu      sync.Mutex
	workers []store.WorkerRow
	now     time.Time // the database's time when they were read
	at      time.Time // and this process's
}

// recent returns the workers as they were at most age ago, and the database's time. Nobody waits for another's look: each
// has a time of its own to be answered in.
func (f *fleet) recent(ctx context.Context, db *store.Store, age time.Duration) ([]store.WorkerRow, time.Time, error) {
	f.mu.Lock()
	workers, now, at := f.workers, f.now, f.at
	f.mu.Unlock()
	if since := time.Since(at); since < age {
		return workers, now.Add(since), nil
	}
	at = time.Now()
	workers, err := db.Read().Workers(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	if now, err = db.Read().Now(ctx); err != nil {
		return nil, time.Time{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers, f.now, f.at = workers, now, at
	return workers, now, nil
}
