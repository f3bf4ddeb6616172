package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/attune-automation/attune"
)

// ledger says in the names of empty files which attempts have begun on a leased worker and are not yet told as ended. A
// life that is killed leaves it to the next one: a server may have abandoned them all meanwhile, without their files,
// and neither the table nor a directory with a hundred thousand executions tells which these are.
//
// It is not synced: what the power takes of it, it takes of the output that was just written, too.
type ledger struct{ dir string }

// newLedger returns nil for a worker that is no server's to judge: who buries it sees its files.
func newLedger(cfg Config) *ledger {
	if !cfg.Leased {
		return nil
	}
	return &ledger{cfg.Home.ledger()}
}

// entry is an attempt that has begun, and when.
type entry struct {
	attune.Fence
	begun time.Time
}

const entryName = "%d-%d-%d-%d"

func (l *ledger) path(f attune.Fence) string {
	return filepath.Join(l.dir, fmt.Sprintf(entryName, f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation))
}

// enter notes that an attempt begins.
func (l *ledger) enter(f attune.Fence) error {
	if l == nil {
		return nil
	}
	err := writeEmpty(l.path(f))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Mkdir(l.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeEmpty(l.path(f))
}

func writeEmpty(path string) error { return os.WriteFile(path, nil, 0o600) }

// strike notes that all of an attempt is told, or that there is nobody to tell.
func (l *ledger) strike(f attune.Fence) error {
	if l == nil {
		return nil
	}
	return removeIfThere(l.path(f))
}

// entries returns what an earlier life has left.
func (l *ledger) entries() (left []entry, err error) {
	if l == nil {
		return nil, nil
	}
	files, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, file := range files {
		var e entry
		_, fault := fmt.Sscanf(file.Name(), entryName, &e.ExecutionID, &e.Attempt, &e.WorkerID, &e.Incarnation)
		info, gone := file.Info()
		if fault != nil || gone != nil || filepath.Base(l.path(e.Fence)) != file.Name() {
			continue // nothing of ours
		}
		e.begun = info.ModTime()
		left = append(left, e)
	}
	return left, err
}
