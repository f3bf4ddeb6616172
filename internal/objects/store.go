package objects

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"
)

// bucket is where objects lie: a directory, or a bucket of S3. Names were checked; errors are as they come, unless they
// wrap ErrAway already. It may be used by several goroutines and several processes at once.
type bucket interface {
	put(ctx context.Context, name string, content io.Reader) error
	get(ctx context.Context, name string, offset int64) (*Object, error)
	remove(ctx context.Context, name string) error // what is not there is no error
	removeBelow(ctx context.Context, dir string) error
	close()
}

// Store is an artifact store. It is safe for concurrent use. The zero value is of no use: New makes one.
type Store struct {
	place place

	mu     sync.Mutex
	bucket bucket // opened on first use
}

// New returns the store of a URL. It opens nothing, so that a store that is away keeps nobody from starting, and that
// commands which use none pay nothing.
func New(url string) (*Store, error) {
	place, err := parse(url)
	if err != nil {
		return nil, err
	}
	return &Store{place: place}, nil
}

// Close closes the connections that the store keeps. It may be used again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucket != nil {
		s.bucket.close()
		s.bucket = nil
	}
	return nil
}

// opened returns the bucket; that it can't be opened may pass.
func (s *Store) opened(ctx context.Context) (_ bucket, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucket != nil {
		return s.bucket, nil
	}
	if s.place.dir != "" {
		s.bucket, err = directory{s.place.dir, fs.FileMode(s.place.mode)}.open()
	} else {
		s.bucket, err = openRemote(ctx, s.place)
	}
	if err != nil {
		s.bucket = nil
		if !errors.Is(err, ErrAway) {
			err = fmt.Errorf("%w: %w", ErrAway, err)
		}
		return nil, err
	}
	return s.bucket, nil
}

// holder returns the bucket for a key. One that leads out of the store, or that is no plain one, is refused.
func (s *Store) holder(ctx context.Context, key string) (bucket, error) {
	if !fs.ValidPath(key) || key == "." {
		return nil, fmt.Errorf("%w: %q is no plain path", ErrRefused, key)
	}
	return s.opened(ctx)
}

// Put stores all that content holds under a key, whole or not at all, in place of what is there. What has a size, as an
// io.Seeker, may be of any; else a bucket of S3 takes 48 GiB.
func (s *Store) Put(ctx context.Context, key string, content io.Reader) error {
	b, err := s.holder(ctx, key)
	if err == nil {
		err = classify(b.put(ctx, key, content))
	}
	if errors.Is(err, fs.ErrNotExist) { // of what it is to be put into
		err = fmt.Errorf("%w: %w", ErrAway, err)
	}
	return wrap("put", key, err)
}

// Object is an open object: the bytes from the offset on, and the size of all of it.
type Object struct {
	io.ReadCloser
	Size int64
}

// Open opens an object from an offset on; behind its end there is nothing to read. It is read for as long as ctx lasts.
// The error of one that is not there wraps fs.ErrNotExist.
func (s *Store) Open(ctx context.Context, key string, offset int64) (*Object, error) {
	b, err := s.holder(ctx, key)
	if err != nil {
		return nil, wrap("open", key, err)
	}
	object, err := b.get(ctx, key, offset)
	return object, wrap("open", key, classify(err))
}

// removals is how many objects are removed at once.
const removals = 16

// Delete removes objects. What is not there is no error, if the store is.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(removals)
	for _, key := range keys {
		group.Go(func() error {
			b, err := s.holder(ctx, key)
			if err == nil {
				err = classify(b.remove(ctx, key))
			}
			return wrap("remove", key, err)
		})
	}
	return group.Wait()
}

// DeletePrefix removes all objects whose keys have dir and a slash before the rest. It may be repeated.
func (s *Store) DeletePrefix(ctx context.Context, dir string) error {
	b, err := s.holder(ctx, dir)
	if err == nil {
		err = classify(b.removeBelow(ctx, dir))
	}
	return wrap("remove", dir, err)
}

// Probe tells why the store can't be used: it puts an object, reads it and removes it.
func (s *Store) Probe(ctx context.Context) error {
	key := "attune-probe/" + rand.Text()
	want := []byte("whether it can be written, read and removed\n")
	if err := s.Put(ctx, key, bytes.NewReader(want)); err != nil {
		return err
	}
	object, err := s.Open(ctx, key, 0)
	if err != nil {
		return errors.Join(err, s.Delete(ctx, key))
	}
	got, err := io.ReadAll(object)
	err = errors.Join(err, object.Close(), s.Delete(ctx, key))
	if err == nil && !bytes.Equal(got, want) {
		err = wrap("probe", key, fmt.Errorf("%w: it has %q instead of %q", ErrAway, got, want))
	}
	return err
}
