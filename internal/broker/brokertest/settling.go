package brokertest

import (
	"strconv"
	"testing"

	"github.com/attune-automation/attune/internal/broker"
)

var settling = map[string]func(*testing.T, broker.Broker){
	"what is acknowledged is gone":                  acknowledged,
	"what is given back comes again":                givenBack,
	"what is given back too often is a dead letter": poison,
	"what is rejected is a dead letter":             rejected,
	"what is unreadable is a dead letter":           unreadable,
	"a delivery is settled once":                    settledOnce,
	"a consumer that goes gives back what it held":  abandoned,
	"what is given back goes to who waits":          handedOver,
	"a consumer that has gone is given nothing":     gone,
	"a dead letter stays until it is settled":       deadLetterStays,
}

func acknowledged(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	publish(t, b, request("k", 1))
	settle(t, c.expect(t, false, 1)[0].Ack)
	c.stop()
	publish(t, b, request("k", 2))
	consume(t, b, shared("q")).expect(t, false, 2)
}

func givenBack(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	publish(t, b, request("k", 1))
	settle(t, c.expect(t, false, 1)[0].Nack)
	settle(t, c.expect(t, true, 1)[0].Nack)
	settle(t, c.expect(t, true, 1)[0].Ack)
	publish(t, b, request("k", 2))
	c.expect(t, false, 2)
}

func poison(t *testing.T, b broker.Broker) {
	dead := consume(t, b, shared(broker.DeadLetterQueue))
	c := consume(t, b, shared("q", "k"))
	publish(t, b, request("k", 1))
	for n := range broker.DeliveryLimit + 1 {
		settle(t, c.expect(t, n > 0, 1)[0].Nack)
	}
	letter := dead.expect(t, false, 1)[0]
	if letter.Headers[broker.HeaderReason] == "" {
		t.Errorf("the dead letter has no reason: %v", letter.Headers)
	}
	publish(t, b, request("k", 2))
	c.expect(t, false, 2)
}

func rejected(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "some.key"))
	publish(t, b, request("some.key", 1))
	const reason = "it says \"no\":\n über the line"
	d := c.expect(t, false, 1)[0]
	settle(t, func() error { return d.Reject(reason) })
	// The dead-letter queue kept it while nobody was there.
	letter := consume(t, b, shared(broker.DeadLetterQueue)).expect(t, false, 1)[0]
	checkLetter(t, letter, "some.key", reason)
	settle(t, letter.Ack)
}

func unreadable(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	m := request("k", 1)
	m.Envelope.Version = "9.0"
	publish(t, b, m, request("k", 2))
	d := wait(t, c.deliveries, "the unreadable message")
	_, err := d.Open()
	wantError(t, err, broker.ErrUnreadable)
	wantError(t, d.Ack(), broker.ErrSettled)
	c.expect(t, false, 2)

	dead := consume(t, b, shared(broker.DeadLetterQueue))
	letter := wait(t, dead.deliveries, "the dead letter")
	checkLetter(t, letter, "k", `unreadable message: version "9.0", want "1.0"`)
	if string(letter.Body) != string(d.Body) {
		t.Errorf("the dead letter is %s, want %s", letter.Body, d.Body)
	}
}

func checkLetter(t *testing.T, letter broker.Delivery, key, reason string) {
	t.Helper()
	h := letter.Headers
	if h[broker.HeaderReason] != reason || h[broker.HeaderQueue] != "q" || letter.RoutingKey != key {
		t.Errorf("dead letter %s with %q, want %s from q because %q", letter.RoutingKey, h, key, reason)
	}
}

func settledOnce(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	publishRange(t, b, "k", 1, 3)
	held := c.expect(t, false, 1, 2, 3)
	settle(t, held[0].Ack, func() error { return held[1].Reject("no") }, held[2].Nack)
	for _, d := range held {
		wantError(t, d.Ack(), broker.ErrSettled)
		wantError(t, d.Nack(), broker.ErrSettled)
		wantError(t, d.Reject("again"), broker.ErrSettled)
	}
	settle(t, c.expect(t, true, 3)[0].Ack)
}

func abandoned(t *testing.T, b broker.Broker) {
	s := shared("q", "k")
	s.Prefetch = 5
	c := consume(t, b, s)
	publishRange(t, b, "k", 1, 8)
	held := c.expect(t, false, 1, 2, 3, 4, 5)
	settle(t, held[2].Ack)
	held = append(held, c.expect(t, false, 6)...)
	c.stop()
	wantError(t, held[0].Ack(), broker.ErrSettled)
	next := consume(t, b, shared("q"))
	next.expect(t, true, 1, 2, 4, 5, 6)
	next.expect(t, false, 7, 8)
}

// gone stops consumers of many queues beside each other, since a server that is slow to forget one shows it then.
func gone(t *testing.T, b broker.Broker) {
	const queues, rounds = 10, 30
	for n := range queues {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			queue, key := "q"+strconv.Itoa(n), "k"+strconv.Itoa(n)
			declare(t, b, shared(queue, key))
			for round := 1; round <= rounds; round++ {
				declare(t, b, shared(queue))
				publish(t, b, request(key, round))
				c := consume(t, b, shared(queue))
				settle(t, c.expect(t, false, round)[0].Ack)
				c.stop()
			}
		})
	}
}

func handedOver(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	publish(t, b, request("k", 1))
	c.expect(t, false, 1)
	waiting := consume(t, b, shared("q"))
	c.stop()
	waiting.expect(t, true, 1)
}

func deadLetterStays(t *testing.T, b broker.Broker) {
	c := consume(t, b, shared("q", "k"))
	dead := consume(t, b, shared(broker.DeadLetterQueue))
	publish(t, b, request("k", 1))
	d := c.expect(t, false, 1)[0]
	settle(t, func() error { return d.Reject("no") })
	letter := dead.expect(t, false, 1)[0]
	for range 2 * broker.DeliveryLimit { // there is no limit here: nowhere to go from here
		settle(t, letter.Nack)
		letter = dead.expect(t, true, 1)[0]
		checkLetter(t, letter, "k", "no")
	}
	settle(t, func() error { return letter.Reject("gone") })
	publish(t, b, request("k", 2))
	d = c.expect(t, false, 2)[0]
	settle(t, func() error { return d.Reject("no") })
	dead.expect(t, false, 2)
}
