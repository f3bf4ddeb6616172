// Package batch has calls that come together made together, where one round trip for many costs little more than for one.
package batch

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Size bounds how many calls are made at once, so that others get their turn.
const Size = 64

// patience is how long calls may take before those that have come meanwhile no longer wait for them.
const patience = 500 * time.Millisecond

// Batch makes calls. What comes while some are being made waits for the next turn; a call that is alone has its own at
// once. It is safe for concurrent use.
type Batch[I, O any] struct {
	do func(ctx context.Context, calls []*Call[I, O])

	mu      sync.Mutex
	busy    bool
	waiting []*Call[I, O]
}

// New returns a Batch. do answers every call that it gets: soon, or at once and later, when it has returned.
func New[I, O any](do func(ctx context.Context, calls []*Call[I, O])) *Batch[I, O] {
	return &Batch[I, O]{do: do}
}

// Call is one of those that are made together.
type Call[I, O any] struct {
	Context context.Context //nolint:containedctx // the caller's: one that is made alone may end with it
	In      I

	out  O
	err  error
	done chan struct{}
}

// Answer gives the caller what came of the call. It is called once.
func (c *Call[I, O]) Answer(out O, err error) {
	c.out, c.err = out, err
	close(c.done)
}

// Do makes a call and returns its answer. If ctx ends before that comes, the call may have been made or not.
func (b *Batch[I, O]) Do(ctx context.Context, in I) (O, error) {
	var none O
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	c := &Call[I, O]{Context: ctx, In: in, done: make(chan struct{})}
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

// Waiting returns how many calls wait for the next turn.
func (b *Batch[I, O]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// join queues a call, and returns whether nobody works on the queue.
func (b *Batch[I, O]) join(c *Call[I, O]) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, c)
	first = !b.busy
	b.busy = true
	return first
}

// next takes the calls of the next turn; after the last one there is none. Goroutines that could run go first: when the
// processors are busy, that is when others join, and few turns with many calls cost less than many with few.
func (b *Batch[I, O]) next() []*Call[I, O] {
	runtime.Gosched()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), Size)
	calls := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.busy = n > 0
	return calls
}

// run works on the queue until it is empty. What takes long, such as a call whose row somebody else has locked, goes on
// beside those that have come meanwhile, on which another run works.
func (b *Batch[I, O]) run(ctx context.Context) {
	for calls := b.next(); len(calls) > 0; calls = b.next() {
		late := time.AfterFunc(patience, func() { b.run(ctx) })
		b.do(ctx, calls)
		if !late.Stop() {
			return
		}
	}
}
