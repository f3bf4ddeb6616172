package inproc

import "github.com/attune-automation/attune/internal/broker"

// consumer is one running Consume. Its held messages are guarded by the broker's lock.
type consumer struct {
	broker   *Broker
	queue    *queue
	prefetch int
	held     map[*message]struct{}
	wake     chan struct{} // holds one token: look again
}

// next takes a message from the queue, if there is one and room to hold it.
func (c *consumer) next() (broker.Delivery, bool) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if len(c.held) >= c.prefetch {
		return broker.Delivery{}, false
	}
	m := c.queue.pop()
	if m == nil {
		return broker.Delivery{}, false
	}
	m.deliveries++
	c.held[m] = struct{}{}
	return broker.Delivery{
		Settler: holding{c, m}, RoutingKey: m.key, Body: m.body, Headers: m.headers, Redelivered: m.deliveries > 1,
	}, true
}

func (c *consumer) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // a token is there already
	}
}

// holding implements broker.Settler.
type holding struct {
	consumer *consumer
	message  *message
}

func (h holding) Ack() error { return h.settle(func(*Broker, *queue) {}) }

func (h holding) Nack() error {
	return h.settle(func(b *Broker, q *queue) { b.giveBack(q, h.message) })
}

func (h holding) Reject(reason string) error {
	return h.settle(func(b *Broker, q *queue) { b.bury(q, h.message, reason) })
}

func (h holding) settle(end func(*Broker, *queue)) error {
	c := h.consumer
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if _, held := c.held[h.message]; !held {
		return broker.ErrSettled
	}
	delete(c.held, h.message)
	end(c.broker, c.queue)
	c.signal()
	return nil
}
