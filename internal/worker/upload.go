package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// Bounds of what is uploaded at once. Of a large file a few parts are in memory.
const (
	uploadAttempts = 4
	uploadFiles    = 2 // of one attempt
	uploadBatch    = 5000
)

// longestPause is the longest mean time between two tries of what the artifact store does not take.
const longestPause = 15 * time.Second

// uploads brings what attempts have left into the artifact store. The rows say what is still to be brought (they are
// pending), so that nothing is forgotten whenever the worker dies. Files stay where they are until their retention.
type uploads struct {
	worker    string
	store     *store.Store
	artifacts *artifact.Store
	objects   *objects.Store
	log       *slog.Logger
	failing   *outage.Log
	added     chan struct{} // gets a value when there is something to see to

	mu      sync.Mutex
	dirty   bool             // there may be something that no look has seen
	looking bool             // a round is under way, which may start more
	busy    map[attempt]bool // on their way
	late    map[attempt]bool // that have failed: the others go first
	orphans []string         // keys of objects that have no row any more
	fault   error            // why something failed since it was last asked for
	worked  bool             // something got through since it was last asked for
}

// attempt is one of which something is to be uploaded.
type attempt struct {
	execution int64
	number    int
}

// newUploads returns nil for a worker without an artifact store.
func newUploads(name string, deps Deps, log *slog.Logger) *uploads {
	if deps.Objects == nil {
		return nil
	}
	return &uploads{
		worker: name, store: deps.Store, artifacts: deps.Artifacts, objects: deps.Objects, log: log, failing: outage.New(log),
		added: make(chan struct{}, 1), dirty: true, busy: map[attempt]bool{}, late: map[attempt]bool{},
	}
}

// wake tells that something may have become pending.
func (u *uploads) wake() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.look()
}

// look has the loop look again; the lock is held.
func (u *uploads) look() {
	u.dirty = true
	select {
	case u.added <- struct{}{}:
	default: // the loop is awake
	}
}

// done tells whether nothing is left to upload, as far as this process knows.
func (u *uploads) done() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.dirty && !u.looking && len(u.busy) == 0 && len(u.orphans) == 0
}

// run uploads what is pending and what becomes so, until ctx ends. What is then on its way is broken off, for the next
// start.
func (u *uploads) run(ctx context.Context) error {
	var lanes errgroup.Group
	lanes.SetLimit(uploadAttempts)
	for pause := retryPause; ; {
		worked, err := u.outcome()
		if err == nil {
			err = u.round(ctx, &lanes)
		}
		if worked {
			pause = retryPause
		}
		var again <-chan time.Time
		added := u.added
		if err != nil && ctx.Err() == nil {
			u.failing.Warn("artifacts are not in the artifact store yet, it is repeated", err)
			again, added = time.After(jitter(pause)), nil // what ends meanwhile waits, too
			pause = min(2*pause, longestPause)
		}
		select {
		case <-ctx.Done():
			return lanes.Wait()
		case <-added:
		case <-again:
		}
	}
}

// outcome tells whether something got through since the last call, and why something did not.
func (u *uploads) outcome() (worked bool, fault error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	worked, fault = u.worked, u.fault
	u.worked, u.fault = false, nil
	return worked, fault
}

func (u *uploads) failed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fault != nil
}

// round starts the upload of all that is pending and not on its way, and stops as soon as one fails.
func (u *uploads) round(ctx context.Context, lanes *errgroup.Group) error {
	u.begins()
	defer u.ends()
	attempts, err := u.pending(ctx)
	if err != nil {
		u.wake()
		return err
	}
	for _, each := range attempts {
		if u.failed() || ctx.Err() != nil {
			u.wake()
			return nil
		}
		u.start(each)
		lanes.Go(func() error {
			u.end(each, u.bring(ctx, each))
			return nil
		})
	}
	return u.removeOrphans(ctx)
}

// begins notes that a round begins, which sees all that there is.
func (u *uploads) begins() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dirty, u.looking = false, true
}

// ends notes that a round has started all that it has seen.
func (u *uploads) ends() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.looking = false
}

// pending returns what is pending and not on its way, the oldest first, but what has failed before behind the rest.
func (u *uploads) pending(ctx context.Context) ([][]store.StoredArtifact, error) {
	rows, err := u.store.Read().PendingArtifacts(ctx, u.worker, uploadBatch)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(rows) == uploadBatch {
		u.look()
	}
	var order, late []attempt
	found := map[attempt][]store.StoredArtifact{}
	for _, row := range rows {
		of := attemptOf(row)
		if u.busy[of] {
			continue
		}
		if found[of] == nil && u.late[of] {
			late = append(late, of)
		} else if found[of] == nil {
			order = append(order, of)
		}
		found[of] = append(found[of], row)
	}
	var all [][]store.StoredArtifact
	for _, of := range append(order, late...) {
		all = append(all, found[of])
	}
	return all, nil
}

func attemptOf(row store.StoredArtifact) attempt { return attempt{row.ExecutionID, row.Attempt} }

func (u *uploads) start(rows []store.StoredArtifact) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy[attemptOf(rows[0])] = true
}

func (u *uploads) end(rows []store.StoredArtifact, err error) {
	of := attemptOf(rows[0])
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.busy, of)
	if err != nil {
		u.late[of], u.fault = true, err
		u.look()
		return
	}
	delete(u.late, of)
	u.worked = true
	u.failing.Over("artifacts are in the artifact store again")
}

// removeOrphans removes what was uploaded of executions that were deleted meanwhile. What it does not come to, the
// worker's retention does.
func (u *uploads) removeOrphans(ctx context.Context) error {
	u.mu.Lock()
	orphans := u.orphans
	u.mu.Unlock()
	if len(orphans) == 0 {
		return nil
	}
	if err := u.objects.Delete(ctx, orphans...); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.orphans = u.orphans[len(orphans):] // more may have come behind them
	return nil
}
