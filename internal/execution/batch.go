package execution

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// batchSize bounds how many calls one transaction makes, so that other writers get their turn.
const batchSize = 50

// batchTime is how long a transaction has before the next one no longer waits for it.
const batchTime = 500 * time.Millisecond

// batch has calls that come together share one transaction: what comes while a transaction is under way goes into the
// next one. A call that is alone has its own at once. Committing is most of what a write costs, and a worker's row,
// which counts its slots, is locked from a write to its commit.
type batch[I, O any] struct {
	store *store.Store
	// one makes a call in a transaction. If it returns CodeStale or CodeNotFound, it has written nothing.
	one func(ctx context.Context, q *store.Queries, in I) (O, error)

	mu      sync.Mutex
	busy    bool
	waiting []*call[I, O]
}

// call is one of a batch's.
type call[I, O any] struct {
	ctx  context.Context //nolint:containedctx // the caller's: one that is alone in its transaction ends with it
	in   I
	out  O
	err  error
	done chan struct{}
}

// do makes a call. If ctx ends before its transaction does, the call may have been made or not.
func (b *batch[I, O]) do(ctx context.Context, in I) (O, error) {
	var none O
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	c := &call[I, O]{ctx: ctx, in: in, done: make(chan struct{})}
	if b.join(c) {
		go b.run(context.WithoutCancel(ctx)) // as long as others wait: its own call may be long over
	}
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// join queues a call, and returns whether nobody works on the queue.
func (b *batch[I, O]) join(c *call[I, O]) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, c)
	first = !b.busy
	b.busy = true
	return first
}

// next takes the calls of the next transaction; after the last one there is none.
func (b *batch[I, O]) next() []*call[I, O] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), batchSize)
	calls := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.busy = n > 0
	return calls
}

// run works on the queue until it is empty. What takes long, such as a call whose row somebody else has locked, goes on
// beside those that have come meanwhile.
func (b *batch[I, O]) run(ctx context.Context) {
	for calls := b.next(); len(calls) > 0; calls = b.next() {
		written := make(chan struct{})
		go func() {
			defer close(written)
			b.write(ctx, calls)
		}()
		late := time.NewTimer(batchTime)
		select {
		case <-written:
		case <-late.C:
		}
		late.Stop()
	}
}

// write makes calls in one transaction. If that fails, each gets one of its own, and nobody waits for the others': what
// is wrong with one of them, or holds it up, is not their fault.
func (b *batch[I, O]) write(ctx context.Context, calls []*call[I, O]) {
	if len(calls) == 1 {
		ctx = calls[0].ctx // who gives up and comes again must not wait for a lock many times over
	}
	err := b.store.Write(ctx, func(q *store.Queries) error { return b.each(ctx, q, calls) })
	if err != nil && len(calls) > 1 && (!errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrLocked)) {
		for i := range calls {
			go b.write(ctx, calls[i:i+1])
		}
		return
	}
	for _, c := range calls {
		if err != nil {
			c.err = err
		}
		close(c.done)
	}
}

// each makes calls in a transaction. Together they wait for a lock but briefly: they hold others meanwhile, such as that
// of the worker's row, which its heartbeat needs.
func (b *batch[I, O]) each(ctx context.Context, q *store.Queries, calls []*call[I, O]) error {
	if len(calls) > 1 {
		if err := q.WaitBriefly(ctx); err != nil {
			return err
		}
	}
	for _, c := range calls {
		if c.out, c.err = b.one(ctx, q, c.in); c.err != nil && !refused(c.err) {
			return c.err
		}
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
