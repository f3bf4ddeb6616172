// Package inproc is the broker of one process: queues in memory, as the embedded shape and the tests use them.
//
// It is handed to whoever takes a broker.Broker. It starts no goroutine, needs no closing, and keeps nothing over a
// restart: the rows bring back what was lost. It never reaches another process on the same data directory.
package inproc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/attune-automation/attune/internal/broker"
)

// DefaultQueueLimit bounds a queue at about 5 MB of messages.
const DefaultQueueLimit = 10_000

// Config is what New takes.
type Config struct {
	QueueLimit int // messages that wait in one queue; 0 is DefaultQueueLimit
}

// Broker implements broker.Broker.
type Broker struct {
	limit int

	mu     sync.Mutex // guards all below, and the queues and consumers themselves
	queues map[string]*queue
}

var _ broker.Broker = (*Broker)(nil)

// New returns a broker that has only the dead-letter queue.
func New(c Config) *Broker {
	if c.QueueLimit == 0 {
		c.QueueLimit = DefaultQueueLimit
	}
	dead := &queue{name: broker.DeadLetterQueue, limit: c.QueueLimit}
	return &Broker{limit: c.QueueLimit, queues: map[string]*queue{dead.name: dead}}
}

// Publish implements broker.Broker.
func (b *Broker) Publish(ctx context.Context, m broker.Message) error {
	if ctx.Err() != nil {
		return fmt.Errorf("publish %s: %w", m.RoutingKey, context.Cause(ctx))
	}
	body, err := m.Encode()
	if err != nil {
		return err
	}
	if err := b.route(m, body); err != nil {
		return fmt.Errorf("publish %s: %w", m.RoutingKey, err)
	}
	return nil
}

func (b *Broker) route(m broker.Message, body []byte) error {
	words := strings.Split(m.RoutingKey, ".")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	var err error
	matched := false
	for _, q := range b.queues {
		if !q.binds(words) {
			continue
		}
		matched = true
		if !q.push(&message{key: m.RoutingKey, body: body}) {
			err = errors.Join(err, fmt.Errorf("%w: %s holds %d messages", broker.ErrFull, q.name, q.limit))
		}
	}
	if m.Mandatory && !matched {
		return broker.ErrUnroutable
	}
	return err
}

// expire drops the queues that nobody has consumed for longer than they allow. Called before each use instead of by
// a timer, which would need an owner.
func (b *Broker) expire() {
	now := time.Now()
	maps.DeleteFunc(b.queues, func(_ string, q *queue) bool { return q.expired(now) })
}

// Consume implements broker.Broker.
func (b *Broker) Consume(ctx context.Context, s broker.Subscription, handle broker.Handler) error {
	c, err := b.attach(s)
	if err != nil {
		return fmt.Errorf("consume %q: %w", s.Queue, err)
	}
	defer b.detach(c)
	if s.Ready != nil {
		s.Ready()
	}
	for ctx.Err() == nil {
		if d, ok := c.next(); ok {
			handle(ctx, d)
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
		}
	}
	return nil
}

func (b *Broker) attach(s broker.Subscription) (*consumer, error) {
	if s.Queue == "" || s.Prefetch < 1 {
		return nil, fmt.Errorf("a subscription needs a queue's name and a prefetch of at least 1, not %d", s.Prefetch)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	q := b.queues[s.Queue]
	switch {
	case q == nil:
		q = &queue{name: s.Queue, limit: b.limit, exclusive: s.Exclusive}
		b.queues[s.Queue] = q
	case q.exclusive || s.Exclusive:
		return nil, broker.ErrExclusive
	}
	q.bind(s.Keys)
	q.expires = s.Expires
	c := &consumer{broker: b, queue: q, prefetch: s.Prefetch, wake: make(chan struct{}, 1)}
	c.held = make(map[*message]struct{}, s.Prefetch)
	q.consumers = append(q.consumers, c)
	return c, nil
}

func (b *Broker) detach(c *consumer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range c.held {
		delete(c.held, m)
		b.giveBack(c.queue, m)
	}
	c.queue.drop(c)
	if c.queue.exclusive {
		delete(b.queues, c.queue.name)
	}
}

// giveBack puts m where it was, or where poison goes.
func (b *Broker) giveBack(q *queue, m *message) {
	if m.deliveries <= broker.DeliveryLimit || q.name == broker.DeadLetterQueue {
		q.putBack(m)
		return
	}
	b.bury(q, m, fmt.Sprintf("given back %d times", m.deliveries))
}

// bury puts m into the dead-letter queue, which keeps the newest. What is rejected there is gone.
func (b *Broker) bury(from *queue, m *message, reason string) {
	dead := b.queues[broker.DeadLetterQueue]
	if from == dead {
		return
	}
	if len(dead.waiting) >= dead.limit {
		dead.pop()
	}
	dead.push(&message{key: m.key, body: m.body, headers: map[string]string{
		broker.HeaderReason: reason, broker.HeaderQueue: from.name,
	}})
}
