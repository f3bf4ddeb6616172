package amqp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/broker/amqp/amqptest"
	"github.com/attune-automation/attune/internal/outage/outagetest"
	"github.com/attune-automation/attune/internal/testserver"
)

// closeConnections closes the two connections of a broker that consumes, and asserts that it did.
func closeConnections(t *testing.T, v *amqptest.VirtualHost) {
	t.Helper()
	until(t, "the server to list both connections", func() bool { return len(v.Connections(t)) == 2 })
	if closed := v.CloseConnections(t); closed != 2 {
		t.Fatalf("closed %d connections, want 2", closed)
	}
}

func TestConnectionClosedWhileIdle(t *testing.T) {
	t.Parallel()
	v, log := amqptest.New(t), &outagetest.Journal{}
	b := run(t, amqp.Config{URL: v.URL, Logger: log.Logger()})
	c := consume(t, b, shared("q", "k"))
	publish(t, b, "k", 1, 1)
	settle(t, c.expect(false, 1)...)
	closeConnections(t, v)
	c.bound()
	until(t, "the broker to be connected", b.Connected)
	publish(t, b, "k", 2, 2)
	settle(t, c.expect(false, 2)...)
	checkLog(t, log)
}

func TestConnectionClosedWhileDeliveriesAreHeld(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	b := run(t, amqp.Config{URL: v.URL})
	c := consume(t, b, shared("q", "k"))
	own := consume(t, b, broker.Subscription{Queue: "own", Keys: []string{"k"}, Prefetch: 1, Exclusive: true})
	publish(t, b, "k", 1, 3)
	held := c.expect(false, 1, 2, 3)
	own.expect(false, 1)
	closeConnections(t, v)
	c.bound()
	own.bound()
	for _, settle := range []func() error{held[0].Ack, held[1].Nack, func() error { return held[2].Reject("no") }} {
		if err := settle(); !errors.Is(err, broker.ErrSettled) {
			t.Errorf("settled over the next connection: %v, want ErrSettled", err)
		}
	}
	if letters := v.Get(t, broker.DeadLetterQueue, 1); len(letters) != 0 {
		t.Errorf("Reject has buried what came back: %v", letters)
	}
	settle(t, c.expect(true, 1, 2, 3)...)
	until(t, "the broker to be connected", b.Connected)
	publish(t, b, "k", 4, 4)
	settle(t, c.expect(false, 4)...)
	own.expect(false, 4) // and neither 1, which was held, nor 2 and 3, which waited
}

func TestQueueDeletedUnderAConsumer(t *testing.T) {
	t.Parallel()
	v, log := amqptest.New(t), &outagetest.Journal{}
	b := run(t, amqp.Config{URL: v.URL, Logger: log.Logger()})
	c := consume(t, b, shared("q", "k"))
	publish(t, b, "k", 1, 1)
	held := c.expect(false, 1)[0]
	v.DeleteQueue(t, "q")
	c.bound()
	if !strings.Contains(log.String(), "cancelled the consumer") {
		t.Errorf("the consumer was not cancelled:\n%s", log)
	}
	if err := held.Ack(); !errors.Is(err, broker.ErrSettled) {
		t.Errorf("ack after the queue has gone: %v, want ErrSettled", err)
	}
	publish(t, b, "k", 2, 2)
	settle(t, c.expect(false, 2)...)
	if lost, again := log.Count("has lost its queue"), log.Count("has its queue again"); lost != 1 || again != 1 {
		t.Errorf("%d losses and %d recoveries were logged, want 1 and 1:\n%s", lost, again, log)
	}
}

// unknownTag is what a client must not say: basic.ack of delivery 9999 on channel 1. RabbitMQ closes the channel for it
// with PRECONDITION_FAILED, as for a delivery that was held too long.
var unknownTag = []byte{1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0x27, 0x0f, 0, 0xce}

func TestChannelClosedByTheServer(t *testing.T) {
	t.Parallel()
	log := &outagetest.Journal{}
	p, url := testserver.Through(t, amqptest.URL(t))
	b := run(t, amqp.Config{URL: url, Logger: log.Logger()})
	c := consume(t, b, shared("q", "k"))
	publish(t, b, "k", 1, 2)
	held := c.expect(false, 1, 2)
	if n := p.SayToServer(t, unknownTag); n != 2 {
		t.Fatalf("said it on %d connections, want 2: to publish and to consume", n)
	}
	c.bound()
	if n := log.Count("unknown delivery tag"); n != 2 {
		t.Errorf("%d channels were closed, want 2:\n%s", n, log)
	}
	if err := held[0].Ack(); !errors.Is(err, broker.ErrSettled) {
		t.Errorf("ack over the next channel: %v, want ErrSettled", err)
	}
	settle(t, c.expect(true, 1, 2)...)
	until(t, "the broker to be connected", b.Connected)
	publish(t, b, "k", 3, 3)
	settle(t, c.expect(false, 3)...)
}

// blocked and unblocked are what RabbitMQ says to who publishes while it is short of memory ("low") and after that.
var (
	blocked   = []byte{1, 0, 0, 0, 0, 0, 8, 0, 10, 0, 60, 3, 'l', 'o', 'w', 0xce}
	unblocked = []byte{1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 61, 0xce}
)

func TestServerShortOfMemory(t *testing.T) {
	t.Parallel()
	log := &outagetest.Journal{}
	p, url := testserver.Through(t, amqptest.URL(t))
	b := run(t, amqp.Config{URL: url, Logger: log.Logger()})
	publish(t, b, "k", 1, 1)
	p.Freeze()
	published := make(chan error, 1)
	go func() { published <- b.Publish(t.Context(), request("k", 2)) }()
	until(t, "the message to be on its way", func() bool { return p.Stalled.Load() > 0 })
	if n := p.SayToClients(t, blocked); n != 1 {
		t.Fatalf("%d connections were blocked, want 1", n)
	}
	const want = "takes no messages"
	if err := wait(t, published, "the waiting Publish"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Publish that waited to be confirmed: %v, want %s", err, want)
	}
	if err := b.Publish(t.Context(), request("k", 3)); err == nil || !strings.Contains(err.Error(), want+" now: low") {
		t.Errorf("Publish: %v, want %s", err, want)
	}
	p.SayToClients(t, unblocked)
	p.Thaw()
	until(t, "the server to take messages again", func() bool { return b.Publish(t.Context(), request("k", 4)) == nil })
	if n := log.Count("connected to RabbitMQ"); n != 1 || log.Count(want) != 1 || log.Count("takes messages again") != 1 {
		t.Errorf("want one line for each change:\n%s", log)
	}
}

func TestServerAway(t *testing.T) {
	t.Parallel()
	log := &outagetest.Journal{}
	p, url := testserver.Through(t, amqptest.URL(t))
	b := run(t, amqp.Config{URL: url, Logger: log.Logger()})
	c := consume(t, b, shared("q", "k"))
	publish(t, b, "k", 1, 1)
	c.expect(false, 1)
	if n := p.Cut(); n != 2 {
		t.Fatalf("cut %d connections, want 2", n)
	}
	until(t, "the loss to be noticed", func() bool { return !b.Connected() })
	began := time.Now()
	until(t, "Publish to fail", func() bool { return b.Publish(t.Context(), request("k", 2)) != nil })
	for range 100 {
		if err := b.Publish(t.Context(), request("k", 2)); err == nil || !strings.Contains(err.Error(), "no connection") {
			t.Fatalf("publish without a connection: %v", err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 refusals took %v", took)
	}
	until(t, "many attempts", func() bool { return p.Refused.Load() >= 6 })
	p.Restore()
	c.bound()
	until(t, "the broker to be connected", b.Connected)
	publish(t, b, "k", 3, 3)
	c.expect(true, 1)
	c.expect(false, 3)
	checkLog(t, log)
}

// checkLog looks for one line for each change of each connection, when both were lost once.
func checkLog(t *testing.T, log *outagetest.Journal) {
	t.Helper()
	if lost, up := log.Count("no connection to RabbitMQ"), log.Count("connected to RabbitMQ"); lost != 2 || up != 4 {
		t.Errorf("%d losses and %d connections were logged, want 2 and 4:\n%s", lost, up, log)
	}
}

// TestServerFrozen: the connections stay open and nothing comes back.
func TestServerFrozen(t *testing.T) {
	t.Parallel()
	p, url := testserver.Through(t, amqptest.URL(t))
	b := run(t, amqp.Config{URL: url, PublishTimeout: 300 * time.Millisecond})
	c := consume(t, b, shared("q", "k"))
	publish(t, b, "k", 1, 1)
	held := c.expect(false, 1)[0]
	p.Freeze()
	began := time.Now()
	if err := b.Publish(t.Context(), request("k", 2)); err == nil {
		t.Error("Publish said that a frozen server has confirmed")
	}
	if err := held.Reject("no"); err == nil {
		t.Error("Reject said that a frozen server has the dead letter")
	}
	c.stop() // returns when it has waited long enough for an answer
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to give up on a frozen server", took)
	}
}

func TestPublishWaitsForTheFirstConnection(t *testing.T) {
	t.Parallel()
	url := amqptest.URL(t)
	b := amqp.New(amqp.Config{URL: url})
	published := make(chan error, 1)
	go func() { published <- b.Publish(t.Context(), request("k", 1)) }()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	if err := wait(t, published, "Publish"); err != nil {
		t.Error(err)
	}
	cancel(nil)
	if err := wait(t, ended, "Run"); err != nil {
		t.Error(err)
	}
	if err := b.Publish(t.Context(), request("k", 2)); err == nil {
		t.Error("Publish after Run published")
	}
}

func TestPublishWithoutRunFails(t *testing.T) {
	t.Parallel()
	b := amqp.New(amqp.Config{URL: "amqp://localhost", PublishTimeout: 10 * time.Millisecond})
	if err := b.Publish(t.Context(), request("k", 1)); err == nil || b.Connected() {
		t.Errorf("published without a connection: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Consume(ctx, shared("q"), nil); err != nil {
		t.Errorf("Consume whose context has ended: %v", err)
	}
}

func TestNothingTellsThePassword(t *testing.T) {
	t.Parallel()
	if err := amqp.New(amqp.Config{URL: "amqp://user:secret#wei%rd@host"}).Run(t.Context()); err == nil ||
		strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "want amqp://") {
		t.Errorf("got error %v", err)
	}
	for _, url := range []string{
		"", "inproc:", "http://localhost", "amqp://localhost:port",
		"amqp://user:12/secret@host/vhost", "amqp://user:12?secret@host", "amqp://user:12#secret@host",
	} {
		if amqp.Validate(url) == nil {
			t.Errorf("%q is valid", url)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, server, _ := strings.Cut(amqptest.URL(t), "@")
	for reason, url := range map[string]string{
		"refused":     "amqp://user:secret@" + address,
		"not allowed": "amqp://user:secret@" + server,
	} {
		log := &outagetest.Journal{}
		b := run(t, amqp.Config{URL: url, Logger: log.Logger()})
		until(t, "the refusal", func() bool { return log.Count("trying again") > 0 })
		publishing := b.Publish(t.Context(), request("k", 1))
		if text := log.String() + publishing.Error(); strings.Contains(text, "secret") || !strings.Contains(text, reason) {
			t.Errorf("want %s and no password: %s", reason, text)
		}
	}
}

// A user or a virtual host may still be made: it goes on trying, and says what has to be mended.
func TestRefusalIsToldAsAnError(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	for answer, url := range map[string]string{
		"ACCESS_REFUSED": strings.Replace(v.URL, "@", "-wrong@", 1),
		"NOT_ALLOWED":    v.URL + "-missing",
	} {
		log := &outagetest.Journal{}
		b := run(t, amqp.Config{URL: url, Logger: log.Logger()})
		until(t, "the refusal", func() bool { return log.Count("refuses") > 0 })
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "answer="+answer) ||
			strings.Contains(text, "level=WARN") || log.Count("\n") != 1 {
			t.Errorf("want one error that names %s: %s", answer, text)
		}
		var refused *broker.RefusedError
		if err := b.Away(); !errors.As(err, &refused) || refused.Answer != answer {
			t.Errorf("got %v, want a refusal with %s", err, answer)
		}
	}
}

func TestVirtualHostThatIsMadeLater(t *testing.T) {
	t.Parallel()
	v, log := amqptest.New(t), &outagetest.Journal{}
	v.Delete(t)
	b := run(t, amqp.Config{URL: v.URL, Logger: log.Logger()})
	until(t, "the refusal", func() bool { return log.Count("answer=NOT_ALLOWED") > 0 })
	if !strings.Contains(log.String(), "not found") {
		t.Errorf("what RabbitMQ answered is not told: %s", log)
	}
	v.Create(t)
	until(t, "the broker to be connected", b.Connected)
	if err := b.Away(); err != nil || log.Count("connected to RabbitMQ") != 1 {
		t.Errorf("%v: %s", err, log)
	}
}
