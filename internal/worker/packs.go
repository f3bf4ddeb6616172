package worker

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/attune-automation/attune/internal/batch"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/store"
)

// packs are the packs that are unpacked on this host, one directory for each digest. Several workers may share them.
type packs struct {
	root  string
	store *store.Store
	looks *batch.Batch[string, error] // by digest: attempts that begin together share a look
	mu    sync.Mutex                  // one unpacking at a time
}

func newPacks(root string, s *store.Store) *packs {
	p := &packs{root: root, store: s}
	p.looks = batch.New(p.look)
	return p
}

// dir returns where the archive with this digest is unpacked, after having unpacked it if it was not there, or was no
// longer as it was.
func (p *packs) dir(ctx context.Context, digest string) (string, error) {
	dir := filepath.Join(p.root, digest)
	changed, err := p.looks.Do(ctx, digest)
	if err != nil || changed == nil {
		return dir, err
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

// look answers those who ask about a digest with one look, which begins after they have asked.
func (p *packs) look(_ context.Context, asked []*batch.Call[string, error]) {
	found := map[string]error{}
	for _, a := range asked {
		if _, ok := found[a.In]; !ok {
			found[a.In] = pack.Verify(filepath.Join(p.root, a.In), a.In)
		}
		a.Answer(found[a.In], nil)
	}
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
