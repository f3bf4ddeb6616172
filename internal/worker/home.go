package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
)

// Home is the directory of one worker. Whoever holds the lock in it is that worker on this host; a process that dies
// gives it back, whatever it died of.
type Home struct{ dir string }

// HomeOf returns the home of the worker of this name in a data directory. It touches no file.
func HomeOf(dataDir, name string) Home { return Home{filepath.Join(dataDir, "workers", name)} }

// Processes is where the records of the worker's processes are.
func (h Home) Processes() string { return filepath.Join(h.dir, "processes") }

func (h Home) packs() string { return filepath.Join(filepath.Dir(filepath.Dir(h.dir)), "packs") }
func (h Home) tasks() string { return filepath.Join(h.dir, "tasks") }
func (h Home) spare() string { return filepath.Join(h.dir, "spare") }
func (h Home) spool() string { return filepath.Join(h.dir, "spool") }

func (h Home) ledger() string { return filepath.Join(h.dir, "begun") }

// identity returns what tells this home from that of a worker of the same name elsewhere, and makes it on first use.
// The caller holds the lock.
func (h Home) identity() (string, error) {
	path := filepath.Join(h.dir, "id")
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return string(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := rand.Text()
	return id, writeSynced(path, []byte(id))
}

// errHeld says that another process is this worker.
var errHeld = errors.New("the lock is held")

// lockPatience is how long a starting worker waits for its lock: a rescuer that looks after a dead one holds it for
// as long as ending its leftovers takes.
const lockPatience = 5 * time.Second

// await takes the lock, if need be after some time.
func (h Home) await(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, errHeld)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		unlock, err = h.lock()
		if !errors.Is(err, errHeld) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-retry.C:
		}
	}
}

// lock takes the worker's lock, or fails at once with an error that says who has it. Whoever tidies up may remove the
// home of a worker that has no row: then it is made again.
func (h Home) lock() (unlock func(), err error) {
	for {
		unlock, err = h.tryLock()
		if !errors.Is(err, fs.ErrNotExist) {
			return unlock, err
		}
	}
}

func (h Home) tryLock() (unlock func(), err error) {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(h.dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("%w: %w", errHeld, attune.Errorf(attune.CodeConflict,
			"worker %s runs already on this data directory: stop it, or set another worker.name for this one", filepath.Base(h.dir)))
	case err != nil:
		err = fmt.Errorf("lock %s: %w", path, err)
	default:
		err = stillThere(f, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing is what unlocks
}

// stillThere tells whether an open file is the one at path: a lock on a file that was removed keeps nobody out.
func stillThere(f *os.File, path string) error {
	locked, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(locked, named) {
		return fmt.Errorf("%s was removed while it was locked: %w", path, fs.ErrNotExist)
	}
	return nil
}

// endLeftovers ends what an earlier life of the worker has left running, and removes its private directories. The
// caller holds the lock.
func (h Home) endLeftovers(ctx context.Context, processes *process.Supervisor, log *slog.Logger) (int, error) {
	ended, err := processes.EndLeftovers(ctx)
	if err != nil {
		return len(ended), err
	}
	removeOrTell(h.tasks(), log)
	removeOrTell(h.spare(), log)
	if err := vaultOf(h).empty(); err != nil {
		log.Error("secrets of an earlier life can't be removed: remove them by hand", "error", err)
	}
	return len(ended), nil
}

// remove deletes the home of a worker that will not come back, or has no row. The caller holds the lock. The name goes
// first: who starts under it meanwhile makes a home of its own, of which nothing is deleted.
func (h Home) remove() error {
	gone := filepath.Join(filepath.Dir(h.dir), "removed-"+rand.Text())
	if err := os.Rename(h.dir, gone); err != nil {
		return err
	}
	return removeTree(gone)
}

// removeIfPossible is remove for a worker whose end must not fail for it: what stays is removed by a later tidying.
func (h Home) removeIfPossible(log *slog.Logger) {
	if err := h.remove(); err != nil {
		tellKept(h.dir, err, log)
	}
}

func tellKept(dir string, err error, log *slog.Logger) {
	log.Error("a directory that is no longer needed can't be removed: remove it by hand", "directory", dir, "error", err)
}

// removeOrTell removes a directory. An action that runs as root may have left what can't be removed, such as a mount;
// that is for a person to see to, and no reason not to work.
func removeOrTell(dir string, log *slog.Logger) {
	if err := removeTree(dir); err != nil {
		tellKept(dir, err, log)
	}
}
