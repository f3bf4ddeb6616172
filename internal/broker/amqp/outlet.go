package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune/internal/broker"
)

var (
	errLost        = errors.New("the connection was lost before RabbitMQ confirmed the message")
	errUnconfirmed = errors.New("RabbitMQ did not confirm the message in time")
	errBlocked     = errors.New("RabbitMQ takes no messages now")
)

// Publish implements broker.Broker. Many may wait to be confirmed at once. It waits for a first connection, but fails
// at once while one is lost.
func (b *Broker) Publish(ctx context.Context, m broker.Message) error {
	body, err := m.Encode()
	if err != nil {
		return err
	}
	err = b.send(ctx, false, publishing{
		exchange: b.config.Exchange, key: m.RoutingKey, mandatory: m.Mandatory,
		Publishing: rabbit.Publishing{
			ContentType: "application/json", DeliveryMode: rabbit.Persistent, Body: body,
			MessageId: m.Envelope.MessageID, CorrelationId: m.Envelope.CorrelationID,
			Type: m.Envelope.MessageType, Timestamp: m.Envelope.Timestamp,
		},
	})
	if err != nil {
		return fmt.Errorf("publish %s: %w", m.RoutingKey, err)
	}
	return nil
}

// reconnecting is how long an unconfirmed message waits for the next connection.
const reconnecting = time.Second

// send has p published and confirmed, within the time that publishing may take. What was not confirmed when its
// connection was lost is sent once more over the next one: also a single queue that goes at the wrong moment costs the
// connection of all.
func (b *Broker) send(ctx context.Context, patient bool, p publishing) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.PublishTimeout, errUnconfirmed)
	defer cancel()
	o, err := b.outlet.wait(ctx, patient)
	if err != nil {
		return err
	}
	if err = o.send(ctx, p); !errors.Is(err, errLost) {
		return err
	}
	soon, cancel := context.WithTimeoutCause(ctx, reconnecting, err)
	defer cancel()
	if o, err = b.outlet.after(soon, o.gone); err != nil {
		return err
	}
	return o.send(ctx, p)
}

// publishing is a message and where it goes.
type publishing struct {
	rabbit.Publishing
	exchange, key string
	mandatory     bool
}

// outlet is a channel in confirm mode. RabbitMQ returns an unroutable message before it confirms it, but the library
// tells of both in different ways. So one goroutine takes the returns, in serve, and whoever was confirmed asks it
// whether his message is among those that had come before.
type outlet struct {
	channel  *rabbit.Channel
	returns  <-chan rabbit.Return
	settle   chan chan struct{} // closed by serve when all returns before are in returned
	gone     chan struct{}      // closed when there is no more use in it
	blocked  *current[string]   // why the server takes nothing now
	mu       sync.Mutex
	returned map[string]*fate // by message id, of what waits to be confirmed
}

// fate is that of the mandatory messages with one id. A message that is sent twice at once has the same id; then it
// does not matter which of the two came back, since one of them was kept.
type fate struct{ waiting, returned int }

// serveOutlet lets Publish publish until the connection or the channel is closed.
func (b *Broker) serveOutlet(ctx context.Context, c *connection, up func()) error {
	o := &outlet{
		settle: make(chan chan struct{}), gone: make(chan struct{}),
		blocked: newCurrent[string](), returned: map[string]*fate{},
	}
	blockings := c.NotifyBlocked(make(chan rabbit.Blocking, 16))
	if err := c.limit(callTimeout, func() error { return o.open(c, b.config.Exchange) }); err != nil {
		return err
	}
	closed := o.channel.NotifyClose(make(chan *rabbit.Error, 1))
	b.outlet.set(o, nil)
	defer func() {
		b.outlet.set(nil, errLost)
		close(o.gone)
	}()
	up()
	for {
		select {
		case <-ctx.Done():
			return errStopped
		case reason := <-closed:
			return lost(reason)
		case r, open := <-o.returns:
			if !open {
				return lost(<-closed)
			}
			o.note(r)
		case settled := <-o.settle:
			o.drain()
			close(settled)
		case blocking, open := <-blockings:
			if !open {
				return lost(<-closed)
			}
			b.throttle(ctx, o, blocking)
		}
	}
}

// throttle has Publish fail at once while the server is short of memory or disk: it reads no more from a connection
// that has published, so that writing, and what was written, would hang.
func (b *Broker) throttle(ctx context.Context, o *outlet, blocking rabbit.Blocking) {
	if blocking.Active {
		o.blocked.set(&blocking.Reason, nil)
		b.config.Logger.WarnContext(ctx, "RabbitMQ takes no messages", "reason", blocking.Reason)
		return
	}
	o.blocked.set(nil, nil)
	b.config.Logger.InfoContext(ctx, "RabbitMQ takes messages again")
}

func (o *outlet) open(c *connection, exchange string) (err error) {
	if o.channel, err = c.Channel(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := declareExchange(o.channel, exchange); err != nil {
		return err
	}
	o.returns = o.channel.NotifyReturn(make(chan rabbit.Return, 1000)) // when full, it holds up the reader
	if err := o.channel.Confirm(false); err != nil {
		return fmt.Errorf("turn on confirms: %w", err)
	}
	return nil
}

// send returns nil when every queue that p matches has it.
func (o *outlet) send(ctx context.Context, p publishing) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	reason, blocked, _ := o.blocked.get()
	if reason != nil {
		return fmt.Errorf("%w: %s", errBlocked, *reason)
	}
	if p.mandatory {
		o.expect(p.MessageId)
		defer o.forget(p.MessageId)
	}
	confirmation, err := o.channel.PublishWithDeferredConfirm(p.exchange, p.key, p.mandatory, false, p.Publishing)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	select {
	case <-confirmation.Done():
	case <-blocked:
		return errBlocked
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case !confirmation.Acked() && o.channel.IsClosed(): // the library denies what is open when the channel closes
		return errLost
	case !confirmation.Acked():
		return broker.ErrFull
	case p.mandatory:
		return o.routed(p.MessageId)
	}
	return nil
}

func (o *outlet) expect(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.returned[id] == nil {
		o.returned[id] = &fate{}
	}
	o.returned[id].waiting++
}

func (o *outlet) forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.returned[id]; f.waiting > 1 {
		f.waiting--
		return
	}
	delete(o.returned, id)
}

// routed tells whether a confirmed message reached a queue.
func (o *outlet) routed(id string) error {
	settled := make(chan struct{})
	select {
	case o.settle <- settled:
		<-settled
	case <-o.gone:
		return errLost
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.returned[id]; f.returned > 0 {
		f.returned--
		return broker.ErrUnroutable
	}
	return nil
}

func (o *outlet) note(r rabbit.Return) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.returned[r.MessageId]; f != nil { // else its publisher has stopped waiting
		f.returned++
	}
}

// drain notes all returns that have come.
func (o *outlet) drain() {
	for {
		select {
		case r, open := <-o.returns:
			if !open {
				return
			}
			o.note(r)
		default:
			return
		}
	}
}
