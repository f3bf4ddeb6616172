package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/store"
)

// The time that one file has: a store may take bytes and never answer.
const (
	uploadTime = 2 * time.Minute
	uploadRate = 32 << 10 // bytes a second, at least, beyond that
)

// errUnreadable says that there is no file to be uploaded, or none that this process can read.
var errUnreadable = errors.New("it can't be read on this host")

// brought is what has come of the files of one attempt, by the ids of their rows.
type brought struct {
	mu     sync.Mutex
	stored []int64
	kept   map[int64]error // with the worker, for good, and why
}

// bring uploads the files of an attempt and marks their rows. What got through is marked although something else failed.
func (u *uploads) bring(ctx context.Context, rows []store.StoredArtifact) error {
	files, all := u.artifacts.Attempt(rows[0].ExecutionID, rows[0].Attempt), &brought{kept: map[int64]error{}}
	var group errgroup.Group
	group.SetLimit(uploadFiles)
	for _, row := range rows {
		group.Go(func() error {
			err := u.put(ctx, files, row)
			if err != nil && !errors.Is(err, errUnreadable) && !errors.Is(err, objects.ErrRefused) {
				return err
			}
			all.add(row.ID, err)
			return nil
		})
	}
	err := group.Wait()
	return errors.Join(err, u.mark(ctx, rows, all))
}

func (b *brought) add(id int64, lost error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if lost != nil {
		b.kept[id] = lost
	} else {
		b.stored = append(b.stored, id)
	}
}

// put uploads a file. An empty one needs no object.
func (u *uploads) put(ctx context.Context, files *artifact.Attempt, row store.StoredArtifact) error {
	if row.Bytes == 0 {
		return nil
	}
	content, _, err := files.Open(row.Name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return err // of this host, as when it has no more open files
	}
	defer func() { _ = content.Close() }() // read only
	ctx, cancel := context.WithTimeout(ctx, uploadTime+time.Duration(row.Bytes/uploadRate)*time.Second)
	defer cancel()
	read := &source{ReadSeeker: content}
	err = u.objects.Put(ctx, artifact.Key(row.Worker, row.ExecutionID, row.Attempt, row.Name), read)
	if err != nil && read.fault != nil {
		return fmt.Errorf("%w: %w", errUnreadable, read.fault)
	}
	return err
}

// source is a file, which tells a disk that fails from a store that does.
type source struct {
	io.ReadSeeker
	fault error
}

// Read reads on.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.fault = err
	}
	return n, err
}

// mark notes in the rows what has come of their files. What has no row any more was uploaded for nobody, and goes again.
func (u *uploads) mark(ctx context.Context, rows []store.StoredArtifact, all *brought) error {
	var there map[int64]bool
	err := u.store.Single(ctx, func(q *store.Queries) (err error) {
		if there, err = q.MarkLocated(ctx, store.LocationStored, all.stored); err == nil {
			_, err = q.MarkLocated(ctx, store.LocationWorker, slices.Collect(maps.Keys(all.kept)))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range rows { // now that it is certain: an attempt that is not marked is tried again
		if why := all.kept[row.ID]; why != nil {
			u.log.Error("an artifact stays on this worker: it can't be put into the artifact store",
				"execution", row.ExecutionID, "attempt", row.Attempt, "artifact", row.Name, "error", why)
		}
	}
	uploaded := map[int64]bool{}
	for _, id := range all.stored {
		uploaded[id] = true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, row := range rows {
		if uploaded[row.ID] && !there[row.ID] && row.Bytes > 0 {
			u.orphans = append(u.orphans, artifact.Key(row.Worker, row.ExecutionID, row.Attempt, row.Name))
		}
	}
	if len(u.orphans) > 0 {
		u.look()
	}
	return nil
}
