package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// sweepBatch is how many executions the caller judges at once: few enough for one statement's parameter list.
const sweepBatch = 500

// Kept is one execution that has a directory here.
type Kept struct {
	ID      int64
	Touched time.Time // when a file of it was last created: for an ended execution, about its end
}

// Sweep shows every execution's directory to choose, in batches of at most 500, and deletes those whose ids it
// returns. The caller says what may go: what is older than the retention and not running, and what has no row any
// more. It returns how many it deleted, and goes on past those that it could not delete, whose errors are joined. It
// ends early when ctx ends or choose fails.
func (s *Store) Sweep(
	ctx context.Context, choose func(ctx context.Context, batch []Kept) ([]int64, error),
) (deleted int, err error) {
	dir, err := os.Open(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, wrap("sweep", s.root, err)
	}
	defer func() { _ = dir.Close() }() // read only
	var faults []error
	for ctx.Err() == nil {
		entries, readErr := dir.ReadDir(sweepBatch)
		n, fault := s.sweepBatch(ctx, entries, choose)
		deleted += n
		faults = append(faults, fault)
		if errors.Is(readErr, io.EOF) {
			return deleted, errors.Join(faults...)
		}
		if readErr != nil || errors.As(fault, new(*chooseError)) {
			return deleted, errors.Join(append(faults, wrap("sweep", s.root, readErr))...)
		}
	}
	return deleted, errors.Join(append(faults, context.Cause(ctx))...)
}

// chooseError marks an error of the caller's own, after which going on makes no sense.
type chooseError struct{ error }

func (e *chooseError) Unwrap() error { return e.error }

func (s *Store) sweepBatch(
	ctx context.Context, entries []fs.DirEntry, choose func(context.Context, []Kept) ([]int64, error),
) (int, error) {
	batch := keptIn(entries)
	if len(batch) == 0 {
		return 0, nil
	}
	ids, err := choose(ctx, batch)
	if err != nil {
		return 0, &chooseError{wrap("sweep", s.root, err)}
	}
	deleted := 0
	var faults []error
	for _, id := range ids {
		if err := s.Delete(id); err != nil {
			faults = append(faults, err)
			continue
		}
		deleted++
	}
	return deleted, errors.Join(faults...)
}

// keptIn leaves out what is not ours, and what vanished since the directory was read.
func keptIn(entries []fs.DirEntry) []Kept {
	var found []Kept
	for _, entry := range entries {
		id, ok := numbered(entry, executionPrefix)
		if !ok {
			continue
		}
		if info, err := entry.Info(); err == nil {
			found = append(found, Kept{ID: id, Touched: info.ModTime()})
		}
	}
	return found
}
