package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune/internal/broker"
)

var errCancelled = errors.New("RabbitMQ has cancelled the consumer, because its queue is gone")

// feed is a channel with one consumer. Its deliveries can be settled while it lasts: another channel counts anew.
type feed struct {
	broker     *Broker
	conn       *connection
	queue      string
	consumer   string // the tag
	channel    *rabbit.Channel
	deliveries <-chan rabbit.Delivery // closed whatever ends the feed
	closed     <-chan *rabbit.Error
	cancelled  <-chan string

	mu   sync.Mutex // held while settling
	over bool       // what is unsettled goes back
}

// lost returns why the deliveries have ended.
func (f *feed) lost() error {
	select {
	case _, was := <-f.cancelled:
		if was {
			return errCancelled
		}
	default:
	}
	select {
	case reason := <-f.closed:
		return lost(reason)
	default:
		return errCancelled
	}
}

// close gives back what is unsettled, also what has come and was not handled.
func (f *feed) close() {
	f.mu.Lock()
	f.over = true // or what is settled while the channel closes would be both settled and given back
	f.mu.Unlock()
	_ = f.conn.limit(closeTimeout, func() error { // an error says that it is closed already
		// A server may deliver to a channel that it has closed until its queue hears of that; what is published
		// meanwhile would count as delivered before. It answers a cancellation when the queue has it.
		if err := f.channel.Cancel(f.consumer, false); err != nil {
			return err
		}
		return f.channel.Close()
	})
}

func (f *feed) delivery(d rabbit.Delivery) broker.Delivery {
	return broker.Delivery{
		Settler: &holding{feed: f, delivery: d}, RoutingKey: d.RoutingKey, Body: d.Body, Headers: headers(d.Headers),
		Redelivered: d.Redelivered,
	}
}

// headers returns the ones that are text. Dead letters that RabbitMQ made itself get the headers that ours have.
func headers(table rabbit.Table) map[string]string {
	if len(table) == 0 {
		return nil
	}
	texts := make(map[string]string, len(table))
	for name, value := range table {
		if text, ok := value.(string); ok {
			texts[name] = text
		}
	}
	if reason, dead := texts["x-first-death-reason"]; dead && texts[broker.HeaderReason] == "" {
		if reason == "delivery_limit" {
			reason = fmt.Sprintf("given back more than %d times", broker.DeliveryLimit)
		}
		texts[broker.HeaderReason] = reason
		texts[broker.HeaderQueue] = texts["x-first-death-queue"]
	}
	return texts
}

// holding implements broker.Settler.
type holding struct {
	feed     *feed
	delivery rabbit.Delivery
	settled  atomic.Bool
}

func (h *holding) Ack() error {
	if h.settled.Swap(true) {
		return broker.ErrSettled
	}
	return h.feed.settle(func() error { return h.delivery.Ack(false) })
}

func (h *holding) Nack() error {
	if h.settled.Swap(true) {
		return broker.ErrSettled
	}
	return h.feed.settle(func() error { return h.delivery.Nack(false, true) })
}

// Reject publishes the dead letter before it acknowledges the message. What fails in between leaves two of them;
// what fails before gives the message back.
func (h *holding) Reject(reason string) error {
	if h.settled.Swap(true) {
		return broker.ErrSettled
	}
	if err := h.feed.settle(func() error { return nil }); err != nil {
		return err // before somebody else's message is buried
	}
	if h.feed.queue != broker.DeadLetterQueue { // from there it goes nowhere
		if err := h.bury(reason); err != nil {
			return errors.Join(err, h.feed.settle(func() error { return h.delivery.Nack(false, true) }))
		}
	}
	return h.feed.settle(func() error { return h.delivery.Ack(false) })
}

// maxReason keeps the headers of a dead letter in one frame, whatever the reason quotes.
const maxReason = 4096

// bury publishes the dead letter, and again after it has declared where they go, since somebody may have deleted that.
func (h *holding) bury(reason string) error {
	d := h.delivery
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	letter := publishing{
		exchange: deadExchange, key: d.RoutingKey, mandatory: true,
		Publishing: rabbit.Publishing{
			Headers:     rabbit.Table{broker.HeaderReason: reason, broker.HeaderQueue: h.feed.queue},
			ContentType: d.ContentType, DeliveryMode: rabbit.Persistent, Body: d.Body,
			MessageId:     cmp.Or(d.MessageId, uuid.NewString()), // outlet needs one
			CorrelationId: d.CorrelationId, Type: d.Type, Timestamp: d.Timestamp,
		},
	}
	// Unlike Publish, it waits for a lost connection: else the message would come back, and be rejected again, as
	// fast as it can.
	send := func() error { return h.feed.broker.send(context.Background(), true, letter) }
	err := send()
	missing := errors.Is(err, broker.ErrUnroutable) || errors.Is(err, errLost) // no queue, or no exchange
	if missing && h.feed.settle(h.feed.declareDead) == nil {
		err = send()
	}
	if err != nil {
		return fmt.Errorf("move a message of %s to %s: %w", h.feed.queue, broker.DeadLetterQueue, err)
	}
	return nil
}

func (f *feed) declareDead() error {
	return f.conn.limit(callTimeout, func() error { return f.broker.declareDead(f.channel) })
}

// settle runs end while the feed lasts. The channel's errors all mean that it has gone.
func (f *feed) settle(end func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.channel.IsClosed() {
		return broker.ErrSettled
	}
	if err := end(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrSettled, err)
	}
	return nil
}
