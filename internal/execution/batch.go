package execution

import (
	"context"
	"errors"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/batch"
	"github.com/attune-automation/attune/internal/store"
)

// writer has calls that come together share one transaction. Committing is most of what a write costs, and a worker's
// row, which counts its slots, is locked from a write to its commit.
type writer[I, O any] struct {
	*batch.Batch[I, O]
	store *store.Store
	// all makes calls in a transaction and says what has come of each. Its error ends the transaction, for all of them; a
	// call that ends in an error of its own has written nothing.
	all func(ctx context.Context, q *store.Queries, calls []*call[I, O]) error
}

// call is one of those that share a transaction, with what comes of it if that is committed.
type call[I, O any] struct {
	in  I
	out O
	err error
}

func newWriter[I, O any](s *store.Store, all func(context.Context, *store.Queries, []*call[I, O]) error) *writer[I, O] {
	w := &writer[I, O]{store: s, all: all}
	w.Batch = batch.New(w.write)
	return w
}

// write makes calls in one transaction. If that fails, each gets one of its own, and nobody waits for the others': what
// is wrong with one of them, or holds it up, is not their fault.
func (w *writer[I, O]) write(ctx context.Context, asked []*batch.Call[I, O]) {
	if len(asked) == 1 {
		ctx = asked[0].Context // who gives up and comes again must not wait for a lock many times over
	}
	calls := make([]*call[I, O], len(asked))
	err := w.store.Write(ctx, func(q *store.Queries) error {
		for i, a := range asked {
			calls[i] = &call[I, O]{in: a.In}
		}
		return w.each(ctx, q, calls)
	})
	if err != nil && len(asked) > 1 && (!errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrLocked)) {
		for i := range asked {
			go w.write(ctx, asked[i:i+1])
		}
		return
	}
	for i, a := range asked {
		if err != nil {
			var none O
			a.Answer(none, err)
			continue
		}
		a.Answer(calls[i].out, calls[i].err)
	}
}

// each makes calls in a transaction. Together they wait for a lock but briefly: they hold others meanwhile, such as that
// of the worker's row, which its heartbeat needs.
func (w *writer[I, O]) each(ctx context.Context, q *store.Queries, calls []*call[I, O]) error {
	if len(calls) > 1 {
		if err := q.WaitBriefly(ctx); err != nil {
			return err
		}
	}
	return w.all(ctx, q, calls)
}

// settle makes one call by itself, in the transaction of others.
func (c *call[I, O]) settle(ctx context.Context, q *store.Queries, one func(context.Context, *store.Queries, I) (O, error)) error {
	if c.out, c.err = one(ctx, q, c.in); c.err != nil && !refused(c.err) {
		return c.err
	}
	return nil
}

// refused tells of a call that does not fit the row and has written nothing: its transaction goes on without it.
func refused(err error) bool {
	switch attune.ErrorCode(err) {
	case attune.CodeStale, attune.CodeNotFound:
		return true
	}
	return false
}
