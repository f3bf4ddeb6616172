package amqp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
)

// TestForeignMessagesBecomeDeadLetters publishes what no Attune would, and finds it in attune.dead, by the server's word.
func TestForeignMessagesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	b := run(t, amqp.Config{URL: v.URL})
	c := consume(t, b, shared("q", "k"))
	bodies := map[string]string{
		"":                 "EOF",
		"not json":         "invalid character",
		`{"version":"2"}`:  `version "2"`,
		longKey(300_000):   "unknown field",
		longKey(3_000_000): "unknown field", // many frames
	}
	for body := range bodies {
		v.Publish(t, amqp.DefaultExchange, "k", body)
		if _, err := wait(t, c.deliveries, "the foreign message").Open(); !errors.Is(err, broker.ErrUnreadable) {
			t.Errorf("%.40s: got %v, want ErrUnreadable", body, err)
		} else if errors.Is(err, broker.ErrSettled) {
			t.Errorf("%.40s: it was not rejected: %v", body, err)
		}
	}
	letters := v.Get(t, broker.DeadLetterQueue, len(bodies)+1)
	if len(letters) != len(bodies) {
		t.Fatalf("%d dead letters, want %d", len(letters), len(bodies))
	}
	for _, letter := range letters {
		reason, _ := letter.Properties.Headers[broker.HeaderReason].(string)
		want, known := bodies[letter.Payload]
		if !known || !strings.Contains(reason, want) || len(reason) > 4096 {
			t.Errorf("dead letter %.40s: reason %.80s, want %s", letter.Payload, reason, want)
		}
		if letter.Properties.Headers[broker.HeaderQueue] != "q" || letter.RoutingKey != "k" || letter.Properties.DeliveryMode != 2 {
			t.Errorf("dead letter %.40s: %+v", letter.Payload, letter)
		}
	}
	publish(t, b, "k", 1, 1)
	settle(t, c.expect(false, 1)...)
}

func longKey(size int) string { return `{"` + strings.Repeat("ö", size/2) + `":1}` }

func TestDeadLettersGoWhereTheyWereDeleted(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*testing.T, *amqptest.VirtualHost){
		"queue":    func(t *testing.T, v *amqptest.VirtualHost) { v.DeleteQueue(t, broker.DeadLetterQueue) },
		"exchange": func(t *testing.T, v *amqptest.VirtualHost) { v.DeleteExchange(t, "attune.dead") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := amqptest.New(t)
			b := run(t, amqp.Config{URL: v.URL})
			c := consume(t, b, shared("q", "k"))
			publish(t, b, "k", 1, 1)
			d := c.expect(false, 1)[0]
			remove(t, v)
			if err := d.Reject("no"); err != nil {
				t.Fatalf("reject: %v", err)
			}
			if letters := v.Get(t, broker.DeadLetterQueue, 1); len(letters) != 1 {
				t.Errorf("there is no dead letter")
			}
		})
	}
}

// TestRejectThatFailsGivesBack: somebody has put another dead-letter exchange there, which takes nothing.
func TestRejectThatFailsGivesBack(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	b := run(t, amqp.Config{URL: v.URL})
	c := consume(t, b, shared("q", "k"))
	publish(t, b, "k", 1, 1)
	d := c.expect(false, 1)[0]
	v.DeleteExchange(t, "attune.dead")
	v.DeclareExchange(t, "attune.dead", "direct")
	if err := d.Reject("no"); err == nil {
		t.Error("Reject says that the letter is where nobody gets it")
	}
	v.DeleteExchange(t, "attune.dead")
	c.bound() // until then, dead letters had nowhere to go
	c.expect(true, 1)
}

func TestDeadLettersKeepTheNewest(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	b := run(t, amqp.Config{URL: v.URL, QueueLimit: 2})
	c := consume(t, b, shared("q", "k"))
	for n := 1; n <= 3; n++ {
		publish(t, b, "k", n, n)
		if err := c.expect(false, n)[0].Reject("no"); err != nil {
			t.Fatal(err)
		}
	}
	consume(t, b, shared(broker.DeadLetterQueue)).expect(false, 2, 3)
}

func TestExclusiveAcrossConnections(t *testing.T) {
	t.Parallel()
	url := amqptest.URL(t)
	one, other := run(t, amqp.Config{URL: url}), run(t, amqp.Config{URL: url})
	own := broker.Subscription{Queue: "own", Prefetch: 1, Exclusive: true}
	consume(t, one, own)
	if err := other.Consume(t.Context(), own, nil); !errors.Is(err, broker.ErrExclusive) {
		t.Errorf("got %v, want ErrExclusive", err)
	}
	if err := other.Consume(t.Context(), shared("own"), nil); !errors.Is(err, broker.ErrExclusive) {
		t.Errorf("got %v, want ErrExclusive", err)
	}
}

// TestQueueWithOtherArguments: a queue that another version declared can't be had until somebody deletes it.
func TestQueueWithOtherArguments(t *testing.T) {
	t.Parallel()
	url := amqptest.URL(t)
	consume(t, run(t, amqp.Config{URL: url}), shared("q"))
	err := run(t, amqp.Config{URL: url, QueueLimit: 5}).Consume(t.Context(), shared("q"), nil)
	if err == nil || errors.Is(err, broker.ErrExclusive) || !strings.Contains(err.Error(), "x-max-length") {
		t.Errorf("got %v", err)
	}
}
