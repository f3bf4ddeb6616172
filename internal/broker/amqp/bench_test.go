package amqp_test

import (
	"context"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
)

const publishers = 50

// shareOut has the publishers publish n messages.
func shareOut(tb testing.TB, b broker.Broker, n int) {
	tb.Helper()
	tickets := make(chan int, n)
	for i := range n {
		tickets <- i + 1
	}
	close(tickets)
	each(tb, publishers, func(int) error {
		for i := range tickets {
			if err := b.Publish(tb.Context(), request("k", i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkPublish: publishers that each wait for their confirms, to a quorum queue that nobody consumes.
func BenchmarkPublish(b *testing.B) {
	broke := run(b, amqp.Config{URL: amqptest.URL(b), QueueLimit: 10_000_000})
	consume(b, broke, shared("q", "k")).stop()
	b.ResetTimer()
	began := time.Now()
	shareOut(b, broke, b.N)
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "messages/s")
}

// BenchmarkPublishConsumeAck is the whole way of a message, with the prefetch of a worker of 10 slots.
func BenchmarkPublishConsumeAck(b *testing.B) {
	broke := run(b, amqp.Config{URL: amqptest.URL(b), QueueLimit: 10_000_000})
	s := shared("q", "k")
	s.Prefetch = 12
	ctx, cancel := context.WithCancelCause(b.Context())
	bound, left := make(chan struct{}), b.N
	s.Ready = func() { close(bound) }
	ended := make(chan error, 1)
	go func() {
		ended <- broke.Consume(ctx, s, func(_ context.Context, d broker.Delivery) {
			if err := d.Ack(); err != nil {
				b.Error(err)
			}
			if left--; left == 0 {
				cancel(nil)
			}
		})
	}()
	<-bound
	b.ResetTimer()
	began := time.Now()
	shareOut(b, broke, b.N)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "messages/s")
}
