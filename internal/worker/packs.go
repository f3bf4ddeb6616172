package worker

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/store"
)

// packs are the packs that are unpacked on this host, one directory for each digest. Several workers may share them.
type packs struct {
	root  string
	store *store.Store
	mu    sync.Mutex // one look or unpacking at a time; the usual case, a look, is short
}

func newPacks(root string, s *store.Store) *packs { return &packs{root: root, store: s} }

// dir returns where the archive with this digest is unpacked, after having unpacked it if it was not there, or was no
// longer as it was.
func (p *packs) dir(ctx context.Context, digest string) (string, error) {
	dir := filepath.Join(p.root, digest)
	if p.verify(dir, digest) {
		return dir, nil
	}
	archive, err := p.fetch(ctx, digest)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pack.Verify(dir, digest) == nil { // somebody else has fetched it, too
		return dir, nil
	}
	return dir, pack.Unpack(archive, digest, dir)
}

func (p *packs) verify(dir, digest string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return pack.Verify(dir, digest) == nil
}

// fetch loads an archive. A database that is away is no fault of the action's: it is waited for, until ctx ends.
func (p *packs) fetch(ctx context.Context, digest string) ([]byte, error) {
	for {
		archive, err := p.store.Read().Archive(ctx, digest)
		if !errors.Is(err, store.ErrUnavailable) {
			return archive, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(jitter(retryPause)):
		}
	}
}
