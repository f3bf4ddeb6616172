package brokertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/broker"
)

var queues = map[string]func(*testing.T, broker.Broker){
	"a queue keeps its order":                      order,
	"a shared queue keeps what nobody consumes":    durable,
	"an exclusive queue goes with its consumer":    exclusiveGoes,
	"an exclusive queue has one consumer":          exclusiveAlone,
	"a shared queue that nobody consumes expires":  expires,
	"a subscription without name or prefetch ends": invalid,
}

func order(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	publishRange(t, b, "k", 1, 500)
	for n := 1; n <= 500; n++ {
		settle(t, c.expect(t, false, n)[0].Ack)
	}
}

func durable(t *testing.T, b broker.Broker) {
	declare(t, b, shared("q", "k"))
	publishRange(t, b, "k", 1, 10)
	consume(t, b, shared("q")).expect(t, false, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
}

func exclusiveGoes(t *testing.T, b broker.Broker) {
	own := broker.Subscription{Queue: "own", Keys: []string{"k"}, Prefetch: 1, Exclusive: true}
	c := consume(t, b, own)
	publish(t, b, request("k", 1), request("k", 2))
	c.expect(t, false, 1)
	c.stop()
	untilUnroutable(t, b, request("k", 3))
	c = consume(t, b, own)
	publish(t, b, request("k", 4))
	c.expect(t, false, 4) // and neither 1, which was held, nor 2, which waited
}

func exclusiveAlone(t *testing.T, b broker.Broker) {
	own := broker.Subscription{Queue: "own", Prefetch: 1, Exclusive: true}
	consume(t, b, own)
	refuse := func(_ context.Context, d broker.Delivery) { t.Errorf("unexpected delivery %s", d.RoutingKey) }
	wantError(t, b.Consume(t.Context(), own, refuse), broker.ErrExclusive)
	consume(t, b, shared("q"))
	own.Queue = "q"
	wantError(t, b.Consume(t.Context(), own, refuse), broker.ErrExclusive)
}

func expires(t *testing.T, b broker.Broker) {
	s := shared("q", "k")
	s.Expires = 50 * time.Millisecond
	c := consume(t, b, s)
	publish(t, b, request("k", 1))
	c.expect(t, false, 1)
	c.stop()
	untilUnroutable(t, b, request("k", 2))
}

func invalid(t *testing.T, b broker.Broker) {
	for _, s := range []broker.Subscription{{Prefetch: 1}, {Queue: "q"}, {Queue: "q", Prefetch: -1}} {
		if err := b.Consume(t.Context(), s, func(context.Context, broker.Delivery) {}); err == nil {
			t.Errorf("Consume took %+v", s)
		}
	}
}

// untilUnroutable polls until no queue takes m. One that goes in the moment when m comes may refuse it: RabbitMQ answers a
// message for a queue whose process has just ended with basic.nack.
func untilUnroutable(t *testing.T, b broker.Broker, m broker.Message) {
	t.Helper()
	m.Mandatory = true
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-poll.C {
		if err := b.Publish(t.Context(), m); errors.Is(err, broker.ErrUnroutable) {
			return
		} else if err != nil && !errors.Is(err, broker.ErrFull) {
			t.Fatalf("publish: %v", err)
		}
	}
	t.Fatalf("a queue still takes %s after %v", m.RoutingKey, patience)
}
