package brokertest

import (
	"context"
	"errors"
	"testing"

	"github.com/attune-automation/attune/internal/broker"
)

var consuming = map[string]func(*testing.T, broker.Broker){
	"prefetch bounds what one consumer holds":         prefetch,
	"consumers compete, and each message goes to one": compete,
	"Consume returns after its handler":               joins,
	"Consume with an ended context takes nothing":     takesNothing,
}

func prefetch(t *testing.T, b broker.Broker) {
	s := shared("q", "k")
	s.Prefetch = 2
	full := consume(t, b, s)
	publish(t, b, request("k", 1), request("k", 2))
	held := full.expect(t, false, 1, 2)
	other := consume(t, b, s)
	for n := 3; n <= 50; n++ { // all go to the other one, because the first is full
		publish(t, b, request("k", n))
		settle(t, other.expect(t, false, n)[0].Ack)
	}
	publish(t, b, request("k", 51), request("k", 52))
	other.expect(t, false, 51, 52)
	publish(t, b, request("k", 53)) // waits, because both are full
	settle(t, held[0].Ack)
	full.expect(t, false, 53)
}

func compete(t *testing.T, b broker.Broker) {
	const publishers, each, consumers = 4, 250, 4
	s := shared("q", "k")
	s.Prefetch = 10
	deliveries := make(chan broker.Delivery, publishers*each)
	for range consumers {
		consumeInto(t, b, s, deliveries)
	}
	published := make(chan error, publishers)
	for p := range publishers {
		go func() { published <- publishAll(t.Context(), b, p*each+1, (p+1)*each) }()
	}
	seen := map[int]bool{}
	for range publishers * each {
		d := wait(t, deliveries, "every message")
		if n := number(t, d); seen[n] || d.Redelivered {
			t.Errorf("message %d came twice", n)
		} else {
			seen[n] = true
		}
		settle(t, d.Ack)
	}
	for range publishers {
		if err := wait(t, published, "the publishers"); err != nil {
			t.Error(err)
		}
	}
}

// publishAll is for goroutines, which must not end the test.
func publishAll(ctx context.Context, b broker.Broker, from, to int) error {
	for n := from; n <= to; n++ {
		if err := b.Publish(ctx, request("k", n)); err != nil {
			return err
		}
	}
	return nil
}

func joins(t *testing.T, b broker.Broker) {
	ctx, cancel := context.WithCancelCause(t.Context())
	entered, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	bound := make(chan struct{})
	s := shared("q", "k")
	s.Ready = func() { close(bound) }
	left := false
	go func() {
		ended <- b.Consume(ctx, s, func(context.Context, broker.Delivery) {
			close(entered)
			<-leave
			left = true
		})
	}()
	wait(t, bound, "the queue")
	publish(t, b, request("k", 1), request("k", 2))
	wait(t, entered, "the handler")
	cancel(errors.New("the test is over"))
	select {
	case err := <-ended:
		t.Fatalf("Consume returned %v while its handler ran", err)
	default:
	}
	close(leave)
	if err := wait(t, ended, "Consume to return"); err != nil || !left {
		t.Errorf("Consume returned %v, handler left: %v", err, left)
	}
	// The message that waited was not handed to a consumer whose context had ended. It may have been on its way, and
	// then it is marked as if it had been.
	next := consume(t, b, shared("q"))
	next.expect(t, true, 1)
	if n := number(t, wait(t, next.deliveries, "message 2")); n != 2 {
		t.Errorf("got message %d, want 2", n)
	}
}

func takesNothing(t *testing.T, b broker.Broker) {
	declare(t, b, shared("q", "k"))
	publish(t, b, request("k", 1))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(nil)
	err := b.Consume(ctx, shared("q"), func(_ context.Context, d broker.Delivery) {
		t.Errorf("unexpected delivery %s", d.RoutingKey)
	})
	if err != nil {
		t.Error(err)
	}
	consume(t, b, shared("q")).expect(t, false, 1)
}
