// Package brokertest is what every adapter of package broker must do, as tests that each adapter calls.
//
// It uses the Broker interface alone, and knows nothing of how an adapter is opened. What it can't see from there,
// such as a lost connection or the bound of a queue, the adapter tests itself.
package brokertest

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
)

// patience is how long a test waits for what must happen. It is never used up by a broker that does it.
const patience = 20 * time.Second

// Run runs the suite. open returns a broker that shares no queue with any other, and cleans up after it through t.
func Run(t *testing.T, open func(t *testing.T) broker.Broker) {
	for _, group := range []map[string]func(*testing.T, broker.Broker){publishing, queues, settling, consuming} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

// request returns a message with this routing key that is told from others by n.
func request(key string, n int) broker.Message {
	m := broker.Requested(broker.ExecutionRequested{ExecutionID: int64(n), ActionRef: "core.echo"})
	m.RoutingKey = key
	return m
}

func publish(t *testing.T, b broker.Broker, messages ...broker.Message) {
	t.Helper()
	for _, m := range messages {
		if err := b.Publish(t.Context(), m); err != nil {
			t.Fatalf("publish %s: %v", m.RoutingKey, err)
		}
	}
}

func publishRange(t *testing.T, b broker.Broker, key string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		publish(t, b, request(key, n))
	}
}

// consumer is a running Consume that hands its deliveries on, unsettled.
type consumer struct {
	deliveries chan broker.Delivery
	stop       func()
}

// consume returns when the queue is bound. The consumer is stopped at the end of the test if not before.
func consume(t *testing.T, b broker.Broker, s broker.Subscription) consumer {
	t.Helper()
	return consumeInto(t, b, s, make(chan broker.Delivery, 1000)) // never full, so that prefetch alone holds back
}

func consumeInto(t *testing.T, b broker.Broker, s broker.Subscription, deliveries chan broker.Delivery) consumer {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	c := consumer{deliveries: deliveries}
	ready, ended := make(chan struct{}), make(chan error, 1)
	s.Ready = func() { close(ready) }
	go func() {
		ended <- b.Consume(ctx, s, func(_ context.Context, d broker.Delivery) { c.deliveries <- d })
		close(ended)
	}()
	c.stop = func() {
		cancel(errors.New("the test stops its consumer"))
		if err := wait(t, ended, "Consume to return"); err != nil {
			t.Errorf("Consume ended with %v, want nil", err)
		}
	}
	t.Cleanup(c.stop)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("Consume %s: %v", s.Queue, err)
	case <-time.After(patience):
		t.Fatalf("queue %s was not bound in %v", s.Queue, patience)
	}
	return c
}

func shared(queue string, keys ...string) broker.Subscription {
	return broker.Subscription{Queue: queue, Keys: keys, Prefetch: 100}
}

// declare leaves the queue of s behind, without a consumer.
func declare(t *testing.T, b broker.Broker, s broker.Subscription) {
	t.Helper()
	consume(t, b, s).stop()
}

func wait[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

// expect takes the next deliveries and checks which they are and whether they were delivered before.
func (c consumer) expect(t *testing.T, redelivered bool, numbers ...int) []broker.Delivery {
	t.Helper()
	got := make([]broker.Delivery, 0, len(numbers))
	for _, want := range numbers {
		d := wait(t, c.deliveries, "message "+strconv.Itoa(want))
		if n := number(t, d); n != want || d.Redelivered != redelivered {
			t.Fatalf("got message %d (redelivered %v), want %d (%v)", n, d.Redelivered, want, redelivered)
		}
		got = append(got, d)
	}
	return got
}

func number(t *testing.T, d broker.Delivery) int {
	t.Helper()
	e, err := d.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	request, ok := e.Payload.(broker.ExecutionRequested)
	if !ok || request.ActionRef != attune.Ref("core.echo") {
		t.Fatalf("payload is %#v", e.Payload)
	}
	return int(request.ExecutionID)
}

func settle(t *testing.T, settlements ...func() error) {
	t.Helper()
	for _, settlement := range settlements {
		if err := settlement(); err != nil {
			t.Fatalf("settle: %v", err)
		}
	}
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}
