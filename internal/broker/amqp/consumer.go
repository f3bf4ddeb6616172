package amqp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/outage"
)

// maxPrefetch is what the protocol can say.
const maxPrefetch = 1<<16 - 1

// Consume implements broker.Broker. Each consumer has a channel of its own. Whatever ends that (the connection is lost,
// the server closes the channel, the queue is deleted), the next one declares everything again.
func (b *Broker) Consume(ctx context.Context, s broker.Subscription, handle broker.Handler) error {
	if s.Queue == "" || s.Prefetch < 1 {
		return fmt.Errorf("consume %q: a subscription needs a queue's name and a prefetch of at least 1, not %d", s.Queue, s.Prefetch)
	}
	c := &consumer{broker: b, subscription: s, handle: handle, losing: outage.New(b.config.Logger.With("queue", s.Queue))}
	b.consuming()
	var retry backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := c.attempt(ctx)
		if fatal := c.fatal(err); fatal != nil {
			return fmt.Errorf("consume %q: %w", s.Queue, fatal)
		}
		c.report(ctx, err)
		retry.pause(ctx, began, err)
	}
	return nil
}

// consumer is one running Consume.
type consumer struct {
	broker       *Broker
	subscription broker.Subscription
	handle       broker.Handler
	bound        bool // at least once
	losing       *outage.Log
}

// fatal returns the error of a subscription that can't be had. Only the first attempt finds that out: later, the queue
// may be held by our own lost connection, until the server notices.
func (c *consumer) fatal(err error) error {
	var refused *rabbit.Error
	if c.bound || !errors.As(err, &refused) {
		return nil
	}
	switch refused.Code {
	case rabbit.ResourceLocked, rabbit.AccessRefused, rabbit.PreconditionFailed:
		return err
	}
	return nil
}

func (c *consumer) report(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if c.subscription.Lost != nil {
		c.subscription.Lost()
	}
	c.losing.Warn("a consumer has lost its queue, trying again until it has it", err)
}

// attempt waits for a connection and serves.
func (c *consumer) attempt(ctx context.Context) error {
	conn, err := c.broker.intake.wait(ctx, true)
	if err != nil {
		return err
	}
	return c.serve(ctx, conn)
}

// serve handles deliveries until ctx or the channel ends, and returns why.
func (c *consumer) serve(ctx context.Context, conn *connection) error {
	f := &feed{broker: c.broker, conn: conn, queue: c.subscription.Queue, consumer: uuid.NewString()}
	err := conn.limit(callTimeout, func() error { return c.open(f) })
	if f.channel != nil {
		defer f.close()
	}
	if err != nil {
		return err
	}
	c.losing.Over("a consumer has its queue again")
	c.bound = true
	if c.subscription.Ready != nil {
		c.subscription.Ready()
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case d, open := <-f.deliveries:
			if !open {
				return f.lost()
			}
			if ctx.Err() == nil { // else it goes back: select chose at random
				c.handle(ctx, f.delivery(d))
			}
		}
	}
	return context.Cause(ctx)
}

// open declares and subscribes. f is to be closed even after an error.
func (c *consumer) open(f *feed) (err error) {
	s := c.subscription
	if f.channel, err = f.conn.Channel(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	f.closed = f.channel.NotifyClose(make(chan *rabbit.Error, 1))
	f.cancelled = f.channel.NotifyCancel(make(chan string, 1))
	if err := c.broker.declare(f.channel, s); err != nil {
		return exclusive(err, s.Exclusive, rabbit.PreconditionFailed)
	}
	if err := f.channel.Qos(min(s.Prefetch, maxPrefetch), 0, false); err != nil {
		return fmt.Errorf("set the prefetch: %w", err)
	}
	f.deliveries, err = f.channel.Consume(s.Queue, f.consumer, false, s.Exclusive, false, false, nil)
	if err != nil {
		return exclusive(fmt.Errorf("subscribe: %w", err), s.Exclusive, rabbit.AccessRefused)
	}
	return nil
}

// exclusive adds ErrExclusive to what the server says about a queue of somebody else: that it is locked, or, when we
// want it for ourselves, that it is there already with other arguments (code), or consumed (code).
func exclusive(err error, wanted bool, code int) error {
	var refused *rabbit.Error
	if errors.As(err, &refused) && (refused.Code == rabbit.ResourceLocked || wanted && refused.Code == code) {
		return fmt.Errorf("%w: %w", broker.ErrExclusive, err)
	}
	return err
}
