package amqp

import (
	"cmp"
	"context"
	"errors"
	"sync"
)

// current is what a link has now: a value, or why there is none. Neither, while that is not known yet.
type current[T any] struct {
	mu      sync.Mutex
	value   *T
	why     error
	changed chan struct{} // closed by the next set
}

func newCurrent[T any]() *current[T] { return &current[T]{changed: make(chan struct{})} }

func (c *current[T]) set(value *T, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value, c.why = value, why
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *current[T]) get() (value *T, changed <-chan struct{}, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.changed, c.why
}

// errUnknown is why there is no value before there was any.
var errUnknown = errors.New("there is none yet")

// away returns why there is no value, nil if there is one.
func (c *current[T]) away() error {
	value, _, why := c.get()
	if value != nil {
		return nil
	}
	return cmp.Or(why, errUnknown)
}

// wait returns the value as soon as there is one, or the cause of ctx when it ends before. Who is not patient learns
// at once why there is none, if that is known.
func (c *current[T]) wait(ctx context.Context, patient bool) (*T, error) {
	for {
		value, changed, why := c.get()
		if value != nil {
			return value, nil
		}
		if why != nil && !patient {
			return nil, why
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// after waits for the value that follows one which has gone, or will.
func (c *current[T]) after(ctx context.Context, gone <-chan struct{}) (*T, error) {
	select {
	case <-gone:
		return c.wait(ctx, true)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
