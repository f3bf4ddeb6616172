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
