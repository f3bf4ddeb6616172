package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/store"
)

// orphanAge is how old something that no row refers to must be before it goes: rows and files come one after the other.
const orphanAge = time.Hour

// retain deletes artifact files past their retention, and those of executions that are gone, once at the start and
// then every hour.
func (w *Worker) retain(ctx context.Context) error {
	if w.cfg.Exclusive {
		return nil // gone long before anything of its own is old
	}
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		gone := &sweep{store: w.deps.Store, objects: w.deps.Objects, retention: w.cfg.Retention, log: w.log}
		n, err := w.deps.Artifacts.Sweep(ctx, gone.of(w.cfg.Name))
		if err != nil && ctx.Err() == nil {
			w.log.Error("removing old artifacts failed, it is repeated", "error", err)
		}
		if n > 0 {
			w.log.Info("removed old artifacts", "executions", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// sweep chooses what goes of what workers have kept.
type sweep struct {
	store     *store.Store
	objects   *objects.Store // nil for none
	retention time.Duration
	log       *slog.Logger
	away      bool // the artifact store, as of this sweep
}

// of returns what chooses the executions whose files on a worker may go.
func (s *sweep) of(worker string) func(context.Context, []artifact.Kept) ([]int64, error) {
	return func(ctx context.Context, batch []artifact.Kept) ([]int64, error) {
		var gone []int64
		for _, kept := range batch {
			age := time.Since(kept.Touched)
			row, err := s.store.Read().Execution(ctx, kept.ID)
			switch {
			case attune.ErrorCode(err) == attune.CodeNotFound:
				if age > orphanAge && s.forgotten(ctx, worker, kept.ID) {
					gone = append(gone, kept.ID)
				}
			case err != nil:
				return nil, err
			case s.retention > 0 && row.Status.Final() && age > s.retention:
				gone = append(gone, kept.ID)
			}
		}
		return gone, nil
	}
}

// forgotten removes what a worker that was killed may have left of a deleted execution in the artifact store, and
// returns whether nothing is there: until then the files, which are all that tells of it, stay.
func (s *sweep) forgotten(ctx context.Context, worker string, id int64) bool {
	if s.objects == nil || s.away {
		return !s.away
	}
	err := s.objects.DeletePrefix(ctx, artifact.KeyDir(worker, id))
	if err != nil {
		s.away = true
		s.log.Warn("files of deleted executions stay until the artifact store can be asked for what it has of them", "error", err)
	}
	return err == nil
}

// Host is what the workers of the embedded shape share: one data directory.
type Host struct {
	Store        *store.Store
	Objects      *objects.Store // gets what attempts leave; nil for none
	Logger       *slog.Logger
	DataDir      string
	ArtifactsDir string
	Retention    time.Duration // of artifact files; 0 keeps them
}

// Tidy deletes what workers that will not come back have left: artifact files past their retention, unpacked packs
// that nothing refers to any more, and homes of workers that have no row.
func (h Host) Tidy(ctx context.Context) error {
	return errors.Join(h.tidyArtifacts(ctx), h.tidyPacks(ctx), h.tidyHomes(ctx))
}

// tidyHomes tries again what could not be removed when its worker ended.
func (h Host) tidyHomes(ctx context.Context) error {
	homes, err := directories(filepath.Dir(HomeOf(h.DataDir, "any").dir))
	if err != nil {
		return fmt.Errorf("tidy homes: %w", err)
	}
	var faults []error
	for _, entry := range homes {
		faults = append(faults, h.tidyHome(ctx, entry.Name()))
	}
	return errors.Join(faults...)
}

func (h Host) tidyHome(ctx context.Context, name string) error {
	home := HomeOf(h.DataDir, name)
	unlock, err := home.lock()
	if errors.Is(err, errHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	// Under the lock: who starts under this name has it before it has a row.
	_, err = h.Store.Read().WorkerByName(ctx, name)
	if attune.ErrorCode(err) == attune.CodeNotFound {
		return home.remove()
	}
	return err
}

func (h Host) tidyArtifacts(ctx context.Context) error {
	workers, err := directories(h.ArtifactsDir)
	if err != nil {
		return fmt.Errorf("tidy artifacts: %w", err)
	}
	var faults []error
	gone := &sweep{store: h.Store, objects: h.Objects, retention: h.Retention, log: h.Logger}
	for _, entry := range workers {
		kept, err := artifact.New(h.ArtifactsDir, entry.Name())
		if err != nil {
			continue // no worker's directory
		}
		_, err = kept.Sweep(ctx, gone.of(entry.Name()))
		faults = append(faults, err)
		_, err = h.Store.Read().WorkerByName(ctx, entry.Name())
		if attune.ErrorCode(err) == attune.CodeNotFound { // who has a row may be about to use its directory
			faults = append(faults, removeEmpty(filepath.Join(h.ArtifactsDir, entry.Name())))
		}
	}
	return errors.Join(faults...)
}

func (h Host) tidyPacks(ctx context.Context) error {
	root := HomeOf(h.DataDir, "any").packs()
	unpacked, err := directories(root)
	if err != nil {
		return fmt.Errorf("tidy packs: %w", err)
	}
	var faults []error
	for _, entry := range unpacked {
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < orphanAge {
			continue // gone meanwhile, or just unpacked
		}
		stored, err := h.Store.Read().HasArchive(ctx, entry.Name())
		if err == nil && !stored {
			err = removeTree(filepath.Join(root, entry.Name()))
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func directories(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []fs.DirEntry
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, entry)
		}
	}
	return found, err
}

// removeEmpty removes a directory that has nothing in it.
func removeEmpty(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}
