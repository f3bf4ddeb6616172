package api

import (
	"context"
	"sync"
	"time"

	"github.com/attune-automation/attune/internal/store"
)

// fleetAge is how old the workers may be from which it is told what an execution waits for. Every submission is answered
// with that: to read a whole fleet for each would cost more than the submission.
const fleetAge = 500 * time.Millisecond

// fleet is the workers as they were a moment ago. The zero value is ready for use.
type fleet struct {
	mu      sync.Mutex
	workers []store.WorkerRow
	now     time.Time // the database's time when they were read
	at      time.Time // and this process's
}

// read returns the workers, and the database's time.
func (f *fleet) read(ctx context.Context, db *store.Store) ([]store.WorkerRow, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if age := time.Since(f.at); age < fleetAge {
		return f.workers, f.now.Add(age), nil
	}
	at := time.Now()
	workers, err := db.Read().Workers(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	now, err := db.Read().Now(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	f.workers, f.now, f.at = workers, now, at
	return workers, now, nil
}
