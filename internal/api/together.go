package api

import (
	"context"
	"slices"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/batch"
	"github.com/attune-automation/attune/internal/store"
)

// lookup reads rows by their keys. Those who ask at the same time share a statement, which begins after they have asked,
// so that each sees what was written before.
type lookup[K comparable, V any] struct {
	*batch.Batch[K, V]
	find func(ctx context.Context, keys []K) ([]V, error)
	key  func(V) K
	none func(K) error
}

func newLookup[K comparable, V any](
	find func(context.Context, []K) ([]V, error), key func(V) K, none func(K) error,
) *lookup[K, V] {
	l := &lookup[K, V]{find: find, key: key, none: none}
	l.Batch = batch.New(l.read)
	return l
}

func (l *lookup[K, V]) read(ctx context.Context, asked []*batch.Call[K, V]) {
	if len(asked) == 1 {
		ctx = asked[0].Context
	}
	var keys []K
	for _, a := range asked {
		if !slices.Contains(keys, a.In) {
			keys = append(keys, a.In)
		}
	}
	found, err := l.find(ctx, keys)
	for _, a := range asked {
		var value V
		i := slices.IndexFunc(found, func(v V) bool { return l.key(v) == a.In })
		switch {
		case err != nil:
			a.Answer(value, err)
		case i < 0:
			a.Answer(value, l.none(a.In))
		default:
			a.Answer(found[i], nil)
		}
	}
}

func executionLookup(s *store.Store) *lookup[int64, store.ExecutionRow] {
	find := func(ctx context.Context, ids []int64) ([]store.ExecutionRow, error) {
		return s.Read().ExecutionsByID(ctx, ids)
	}
	return newLookup(find, func(r store.ExecutionRow) int64 { return r.ID }, store.NoExecution)
}

func actionLookup(s *store.Store) *lookup[attune.Ref, store.StoredAction] {
	find := func(ctx context.Context, refs []attune.Ref) ([]store.StoredAction, error) {
		return s.Read().ActionsByRef(ctx, refs)
	}
	return newLookup(find, func(a store.StoredAction) attune.Ref { return a.Ref }, store.NoAction)
}
