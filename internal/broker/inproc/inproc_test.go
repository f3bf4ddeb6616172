package inproc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/brokertest"
	"github.com/attune-automation/attune/internal/broker/inproc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(*testing.T) broker.Broker { return inproc.New(inproc.Config{}) })
}

func request(n int) broker.Message {
	return broker.Requested(broker.ExecutionRequested{ExecutionID: int64(n), ActionRef: "core.echo"})
}

func subscription(queue string, prefetch int) broker.Subscription {
	return broker.Subscription{Queue: queue, Keys: []string{"#"}, Prefetch: prefetch}
}

// take consumes n deliveries of the queue, hands each to settle, and leaves.
func take(t *testing.T, b broker.Broker, s broker.Subscription, n int, settle func(broker.Delivery)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	enough, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	left := n
	if left == 0 {
		s.Ready = func() { stop(nil) }
	}
	err := b.Consume(enough, s, func(_ context.Context, d broker.Delivery) {
		settle(d)
		if left--; left == 0 {
			stop(nil)
		}
	})
	if err != nil || left != 0 {
		t.Fatalf("consume %s: %v, %d of %d deliveries are missing", s.Queue, err, left, n)
	}
}

func number(t *testing.T, d broker.Delivery) int64 {
	t.Helper()
	e, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	return e.Payload.(broker.ExecutionRequested).ExecutionID
}

func TestFullQueueRefusesAndOthersTake(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{QueueLimit: 3})
	take(t, b, subscription("full", 1), 0, nil)
	for n := 1; n <= 3; n++ {
		if err := b.Publish(t.Context(), request(n)); err != nil {
			t.Fatal(err)
		}
	}
	take(t, b, subscription("empty", 1), 0, nil)
	if err := b.Publish(t.Context(), request(4)); !errors.Is(err, broker.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	take(t, b, subscription("empty", 1), 1, func(d broker.Delivery) {
		if n := number(t, d); n != 4 {
			t.Errorf("the empty queue got message %d, want 4", n)
		}
	})
	want := int64(1)
	take(t, b, subscription("full", 1), 3, func(d broker.Delivery) {
		if n := number(t, d); n != want {
			t.Errorf("the full queue kept message %d, want %d", n, want)
		}
		want++
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	})
	if err := b.Publish(t.Context(), request(5)); err != nil {
		t.Errorf("the queue has room again: %v", err)
	}
}

func TestDeadLetterQueueKeepsTheNewest(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{QueueLimit: 2})
	take(t, b, subscription("q", 1), 0, nil)
	for n := 1; n <= 3; n++ {
		if err := b.Publish(t.Context(), request(n)); err != nil {
			t.Fatal(err)
		}
		take(t, b, subscription("q", 1), 1, func(d broker.Delivery) {
			if err := d.Reject("no"); err != nil {
				t.Error(err)
			}
		})
	}
	want := int64(2)
	dead := broker.Subscription{Queue: broker.DeadLetterQueue, Prefetch: 1}
	take(t, b, dead, 2, func(d broker.Delivery) {
		if n := number(t, d); n != want {
			t.Errorf("dead letter %d, want %d", n, want)
		}
		want++
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	})
}

func TestExpiredQueueIsDeclaredEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inproc.New(inproc.Config{})
		s := subscription("q", 1)
		s.Expires = time.Hour
		take(t, b, s, 0, nil)
		for n := 1; n <= 2; n++ {
			<-time.After(59 * time.Minute) // by the fake clock
			if err := b.Publish(t.Context(), request(n)); err != nil {
				t.Fatal(err)
			}
			take(t, b, s, 1, func(d broker.Delivery) {
				if got := number(t, d); got != int64(n) {
					t.Errorf("got message %d, want %d, the one that waited", got, n)
				}
				if err := d.Ack(); err != nil {
					t.Error(err)
				}
			})
		}
		if err := b.Publish(t.Context(), request(3)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		s.Ready = func() {
			if err := b.Publish(t.Context(), request(4)); err != nil {
				t.Error(err)
			}
		}
		take(t, b, s, 1, func(d broker.Delivery) {
			if got := number(t, d); got != 4 {
				t.Errorf("got message %d of the expired queue, want 4", got)
			}
		})
	})
}

func BenchmarkPublishAndAck(b *testing.B) {
	broke := inproc.New(inproc.Config{})
	ctx, cancel := context.WithCancelCause(b.Context())
	defer cancel(nil)
	bound, got := make(chan struct{}), make(chan struct{}, 1)
	s := subscription("q", 10)
	s.Ready = func() { close(bound) }
	ended := make(chan error, 1)
	go func() {
		ended <- broke.Consume(ctx, s, func(_ context.Context, d broker.Delivery) {
			if err := d.Ack(); err != nil {
				b.Error(err)
			}
			got <- struct{}{}
		})
	}()
	<-bound
	for b.Loop() {
		if err := broke.Publish(ctx, request(1)); err != nil {
			b.Fatal(err)
		}
		<-got
	}
	cancel(nil)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
