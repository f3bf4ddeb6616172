package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
	"github.com/attune-automation/attune/internal/testserver"
)

// each runs one function in many goroutines, and fails with their first error.
func each(tb testing.TB, goroutines int, run func(g int) error) {
	tb.Helper()
	errs := make(chan error, goroutines)
	for g := range goroutines {
		go func() { errs <- run(g) }()
	}
	for range goroutines {
		if err := wait(tb, errs, "the goroutines"); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestManyPublishersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const goroutines, messages = 50, 20
	b := run(t, amqp.Config{URL: amqptest.URL(t)})
	s := shared("q", "from.*")
	s.Prefetch = goroutines * messages
	c := consume(t, b, s)
	each(t, goroutines, func(g int) error {
		for n := 1; n <= messages; n++ {
			if err := b.Publish(t.Context(), request(fmt.Sprintf("from.%d", g), n)); err != nil {
				return err
			}
		}
		return nil
	})
	last := map[string]int{}
	for range goroutines * messages {
		d := wait(t, c.deliveries, "a delivery")
		if n := number(t, d); n != last[d.RoutingKey]+1 {
			t.Fatalf("message %d of %s came after %d", n, d.RoutingKey, last[d.RoutingKey])
		}
		last[d.RoutingKey]++
		settle(t, d)
	}
}

// TestReturnsFindTheirPublish: of many mandatory messages at once, the half without a queue is told so, no other.
func TestReturnsFindTheirPublish(t *testing.T) {
	t.Parallel()
	b := run(t, amqp.Config{URL: amqptest.URL(t)})
	consume(t, b, shared("q", "k"))
	each(t, 50, func(g int) error {
		key, want := "k", error(nil)
		if g%2 == 1 {
			key, want = "nobody", broker.ErrUnroutable
		}
		for n := range 20 {
			m := request(key, n+1)
			m.Mandatory = true
			if err := b.Publish(t.Context(), m); !errors.Is(err, want) {
				return fmt.Errorf("publish to %s: got %w, want %w", key, err, want)
			}
		}
		return nil
	})
}

func TestOneIDManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	b := run(t, amqp.Config{URL: amqptest.URL(t)})
	consume(t, b, shared("q", "k"))
	lost, kept := request("nobody", 1), request("k", 1)
	lost.Mandatory, kept.Mandatory = true, true
	each(t, 20, func(int) error {
		if err := b.Publish(t.Context(), lost); !errors.Is(err, broker.ErrUnroutable) {
			return fmt.Errorf("got %w, want ErrUnroutable", err)
		}
		return b.Publish(t.Context(), kept)
	})
}

func TestFullQueueRefusesAndOthersTake(t *testing.T) {
	t.Parallel()
	b := run(t, amqp.Config{URL: amqptest.URL(t), QueueLimit: 10})
	full := shared("full", "k")
	full.Prefetch = 1
	consume(t, b, full).stop()
	other := consume(t, b, shared("other", "k"))
	accepted := 0
	for ; ; accepted++ {
		err := b.Publish(t.Context(), request("k", accepted+1))
		other.expect(false, accepted+1)[0].Ack()
		if errors.Is(err, broker.ErrFull) {
			break
		}
		if err != nil || accepted > 100 {
			t.Fatalf("published %d to a queue of 10: %v", accepted, err)
		}
	}
	c := consume(t, b, full)
	for n := 1; n <= accepted; n++ {
		settle(t, c.expect(false, n)...)
	}
	until(t, "the queue to take messages again", func() bool {
		err := b.Publish(t.Context(), request("k", 1000))
		if err != nil && !errors.Is(err, broker.ErrFull) {
			t.Fatal(err)
		}
		return err == nil
	})
	settle(t, c.expect(false, 1000)...)
}

func TestOwnQueueThatLagsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := run(t, amqp.Config{URL: amqptest.URL(t), QueueLimit: 3})
	c := consume(t, b, broker.Subscription{Queue: "own", Keys: []string{"k"}, Prefetch: 1, Exclusive: true})
	publish(t, b, "k", 1, 1)
	first := c.expect(false, 1)
	publish(t, b, "k", 2, 9)
	settle(t, first...)
	for n := 7; n <= 9; n++ { // the newest three
		settle(t, c.expect(false, n)...)
	}
}

// TestWhatGoesToTheServer looks at a message and at the queues as RabbitMQ has them.
func TestWhatGoesToTheServer(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	b := run(t, amqp.Config{URL: v.URL, Name: "worker w"})
	m := request("k", 42)
	if err := b.Publish(t.Context(), m); err != nil { // declares the exchange only
		t.Fatal(err)
	}
	if queues := v.Queues(t); len(queues) != 0 {
		t.Errorf("publishing declared %v", queues)
	}
	s := shared("q", "k")
	s.Expires = 24 * time.Hour
	c := consume(t, b, s)
	c.stop()
	consume(t, b, broker.Subscription{Queue: "own", Prefetch: 1, Exclusive: true})
	if err := b.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := v.Get(t, "q", 1)[0]
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := got
	want.RoutingKey, want.Payload = "k", string(body)
	p := &want.Properties
	p.MessageID, p.CorrelationID, p.Type = m.Envelope.MessageID, "execution-42", broker.TypeExecutionRequested
	p.Timestamp, p.ContentType, p.DeliveryMode = m.Envelope.Timestamp.Unix(), "application/json", 2
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	limit := float64(amqp.DefaultQueueLimit)
	wantQueues := map[string]amqptest.Queue{
		"q": {Name: "q", Type: "quorum", Durable: true, Arguments: map[string]any{
			"x-queue-type": "quorum", "x-max-length": limit, "x-overflow": "reject-publish", "x-delivery-limit": 20.0,
			"x-dead-letter-exchange": "attune.dead", "x-expires": 86_400_000.0,
		}},
		"own": {Name: "own", Type: "classic", Exclusive: true, Arguments: map[string]any{
			"x-queue-type": "classic", "x-max-length": limit, "x-overflow": "drop-head",
		}},
		"attune.dead": {Name: "attune.dead", Type: "classic", Durable: true, Arguments: map[string]any{
			"x-queue-type": "classic", "x-max-length": limit, "x-overflow": "drop-head",
		}},
	}
	queues := map[string]amqptest.Queue{}
	for _, q := range v.Queues(t) {
		q.Messages = 0
		queues[q.Name] = q
	}
	if diff := cmp.Diff(wantQueues, queues); diff != "" {
		t.Error(diff)
	}
}

// TestExchangeDeleted: the server closes the channel of who publishes to it.
func TestExchangeDeleted(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	b := run(t, amqp.Config{URL: v.URL, Exchange: "other"})
	publish(t, b, "k", 1, 1)
	v.DeleteExchange(t, "other")
	publish(t, b, "k", 2, 2) // over the next connection, which has declared it again
}

func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, url := testserver.Through(t, amqptest.URL(t))
	b := run(t, amqp.Config{URL: url})
	publish(t, b, "k", 1, 1)
	p.Freeze()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("no more time"))
	defer cancel()
	if err := b.Publish(ctx, request("k", 2)); err == nil || !errors.Is(err, context.Cause(ctx)) {
		t.Errorf("got %v", err)
	}
}

func TestEnvelopeThatIsNoJSON(t *testing.T) {
	t.Parallel()
	m := broker.StatusChanged(broker.ExecutionStatusChanged{ChangedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err := amqp.New(amqp.Config{}).Publish(t.Context(), m); err == nil {
		t.Error("a year of five digits was published")
	}
}
