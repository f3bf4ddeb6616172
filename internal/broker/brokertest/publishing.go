package brokertest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
)

var publishing = map[string]func(*testing.T, broker.Broker){
	"payloads arrive as they were sent":        roundTrip,
	"routing keys match by words":              topics,
	"each queue gets its own copy, once":       copies,
	"a mandatory message needs a queue":        mandatory,
	"publishing never waits for a consumer":    slowConsumer,
	"publishing with an ended context refuses": endedContext,
}

func roundTrip(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("all", "#"))
	cancel := broker.CancelRequested(7, broker.ExecutionCancelRequested{ExecutionID: 42, Attempt: 2})
	cancel.Envelope.Headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	sent := []broker.Message{
		broker.Requested(broker.ExecutionRequested{ExecutionID: 42, ActionRef: "core.echo"}),
		broker.Scheduled(broker.ExecutionScheduled{ExecutionID: 42, Attempt: 2, WorkerID: 7, Incarnation: 3}),
		cancel,
		broker.StatusChanged(broker.ExecutionStatusChanged{
			ExecutionID: 42, ActionRef: "core.echo", Attempt: 2, PreviousStatus: attune.StatusRunning,
			NewStatus: attune.StatusCompleted, ChangedAt: cancel.Envelope.Timestamp,
		}),
	}
	publish(t, b, sent...)
	for _, m := range sent {
		d := wait(t, c.deliveries, m.RoutingKey)
		got, err := d.Open()
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		if diff := cmp.Diff(m.Envelope, got); diff != "" || d.RoutingKey != m.RoutingKey || d.Redelivered {
			t.Errorf("%s arrived as %s (redelivered %v):\n%s", m.RoutingKey, d.RoutingKey, d.Redelivered, diff)
		}
		settle(t, d.Ack)
	}
}

func topics(t *testing.T, b broker.Broker) {
	const fence = "fence" // follows each message, so that one that must not arrive is missed in time
	for _, test := range []struct {
		pattern, key string
		match        bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.b.c", false},
		{"a.b", "a", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"a.*.c", "a.b.c", true},
		{"a.#", "a", true},
		{"a.#", "a.b.c", true},
		{"#.c", "a.b.c", true},
		{"#.c", "c", true},
		{"a.#.d", "a.d", true},
		{"a.#.d", "a.b.c.d", true},
		{"a.#.d", "a.b.c", false},
		{"a.1", "a.10", false},
	} {
		c := consume(t, b, shared(test.pattern+" "+test.key, test.pattern, fence))
		publish(t, b, request(test.key, 1), request(fence, 2))
		if d := wait(t, c.deliveries, "message or fence"); (d.RoutingKey == test.key) != test.match {
			t.Errorf("pattern %s, key %s: got %s, want a match: %v", test.pattern, test.key, d.RoutingKey, test.match)
		}
		c.stop()
	}
}

func copies(t *testing.T, b broker.Broker) {
	both := consume(t, b, shared("both", "a.*", "a.#", "fence"))
	one := consume(t, b, shared("one", "a.b", "fence"))
	publish(t, b, request("a.b", 1), request("fence", 2))
	both.expect(t, false, 1, 2)
	one.expect(t, false, 1, 2)
}

func mandatory(t *testing.T, b broker.Broker) {
	m := request("worker.1", 1)
	publish(t, b, m)
	m.Mandatory = true
	wantError(t, b.Publish(t.Context(), m), broker.ErrUnroutable)
	c := consume(t, b, shared("worker", "worker.1"))
	publish(t, b, m)
	c.expect(t, false, 1)
}

func slowConsumer(t *testing.T, b broker.Broker) {
	s := shared("slow", "k")
	s.Prefetch = 1
	consume(t, b, s)
	published := make(chan error, 1)
	go func() { published <- publishAll(t.Context(), b, 1, 1000) }()
	if err := wait(t, published, "1000 messages to be published"); err != nil {
		t.Fatal(err)
	}
}

func endedContext(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(nil)
	wantError(t, b.Publish(ctx, request("k", 1)), context.Canceled)
	publish(t, b, request("k", 2))
	c.expect(t, false, 2)
}
