package amqp_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
	"github.com/attune-automation/attune/internal/broker/brokertest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, open)
}

func open(t *testing.T) broker.Broker {
	t.Helper()
	return run(t, amqp.Config{URL: amqptest.URL(t)})
}

// run returns a broker that runs until the test ends.
func run(tb testing.TB, c amqp.Config) *amqp.Broker {
	tb.Helper()
	b := amqp.New(c)
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	tb.Cleanup(func() {
		cancel(errors.New("the test is over"))
		if err := wait(tb, ended, "Run to return"); err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	return b
}

func wait[T any](tb testing.TB, from <-chan T, what string) T {
	tb.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		tb.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

// until polls until done.
func until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); !done(); <-poll.C {
		if time.Now().After(deadline) {
			tb.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func request(key string, n int) broker.Message {
	m := broker.Requested(broker.ExecutionRequested{ExecutionID: int64(n), ActionRef: "core.echo"})
	m.RoutingKey = key
	return m
}

func number(tb testing.TB, d broker.Delivery) int {
	tb.Helper()
	e, err := d.Open()
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	return int(e.Payload.(broker.ExecutionRequested).ExecutionID)
}

func publish(tb testing.TB, b broker.Broker, key string, from, to int) {
	tb.Helper()
	for n := from; n <= to; n++ {
		if err := b.Publish(tb.Context(), request(key, n)); err != nil {
			tb.Fatalf("publish %d: %v", n, err)
		}
	}
}

// consumer is a running Consume that hands its deliveries on, unsettled.
type consumer struct {
	tb         testing.TB
	deliveries chan broker.Delivery
	ready      chan struct{}
	stop       func()
}

// consume returns when the queue is bound for the first time.
func consume(tb testing.TB, b broker.Broker, s broker.Subscription) consumer {
	tb.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	c := consumer{tb: tb, deliveries: make(chan broker.Delivery, 10_000), ready: make(chan struct{}, 1000)}
	s.Ready = func() { c.ready <- struct{}{} }
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, s, func(_ context.Context, d broker.Delivery) { c.deliveries <- d })
		close(ended)
	}()
	c.stop = func() {
		cancel(errors.New("the test stops its consumer"))
		if err := wait(tb, ended, "Consume to return"); err != nil {
			tb.Errorf("Consume: %v", err)
		}
	}
	tb.Cleanup(c.stop)
	c.bound()
	return c
}

func (c consumer) bound() {
	c.tb.Helper()
	wait(c.tb, c.ready, "the queue to be bound")
}

// expect takes the next deliveries, which must be these.
func (c consumer) expect(redelivered bool, numbers ...int) []broker.Delivery {
	c.tb.Helper()
	got := make([]broker.Delivery, 0, len(numbers))
	for _, want := range numbers {
		d := wait(c.tb, c.deliveries, "a delivery")
		if n := number(c.tb, d); n != want || d.Redelivered != redelivered {
			c.tb.Fatalf("got message %d (redelivered %v), want %d (%v)", n, d.Redelivered, want, redelivered)
		}
		got = append(got, d)
	}
	return got
}

func shared(queue string, keys ...string) broker.Subscription {
	return broker.Subscription{Queue: queue, Keys: keys, Prefetch: 100}
}

func settle(tb testing.TB, deliveries ...broker.Delivery) {
	tb.Helper()
	for _, d := range deliveries {
		if err := d.Ack(); err != nil {
			tb.Fatalf("ack: %v", err)
		}
	}
}
