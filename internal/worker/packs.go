package worker

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/store"
)

// packs are the packs that are unpacked on this host, one directory for each digest. Several workers may share them.
type packs struct {
	root  string
	store *store.Store
	mu    sync.Mutex // one unpacking at a time; the usual case, a look, is short
}

func newPacks(root string, s *store.Store) *packs { return &packs{root: root, store: s} }

// dir returns where the archive with this digest is unpacked, after having unpacked it if it was not there, or was no
// longer as it was.
func (p *packs) dir(ctx context.Context, digest string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dir := filepath.Join(p.root, digest)
	if err := pack.Verify(dir, digest); err == nil {
		return dir, nil
	}
	archive, err := p.store.Read().Archive(ctx, digest)
	if err != nil {
		return "", err
	}
	return dir, pack.Unpack(archive, digest, dir)
}
