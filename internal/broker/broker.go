// Package broker owns what processes tell each other about executions: the envelope, the message types, the
// names of queues, and the Broker that carries them. Package execution publishes, scheduler, worker and api consume.
//
// A message carries ids and wakes somebody; the row carries the truth. So a message may be lost, repeated, late or
// out of order without harm beyond delay, and nothing here ever reads or writes a row. The adapters are inproc, for
// one process, and amqp, for RabbitMQ; brokertest says what both must do.
package broker

import (
	"context"
	"errors"
	"time"
)

// DeadLetterQueue keeps what was rejected, and what was given back too often, for a person to look at. It always
// exists and is bounded: when it is full, its oldest message goes.
const DeadLetterQueue = "attune.dead"

// Headers of the deliveries of DeadLetterQueue.
const (
	HeaderReason = "x-attune-reason" // why the message was rejected
	HeaderQueue  = "x-attune-queue"  // the queue it was in
)

// DeliveryLimit is how often a message is delivered again; given back once more, it counts as poison and goes to
// DeadLetterQueue. It is the default of RabbitMQ 4's quorum queues.
const DeliveryLimit = 20

// What Publish, Consume and settling a delivery may return, wrapped.
var (
	// ErrUnroutable: a mandatory message matched no queue, so nobody will ever get it.
	ErrUnroutable = errors.New("no queue takes the message")
	// ErrFull: a queue that the message matched is at its bound and did not take it; the others did.
	ErrFull = errors.New("a queue is full")
	// ErrExclusive: the queue belongs to another consumer alone, or is shared and can't be had exclusively.
	ErrExclusive = errors.New("the queue can't be shared")
	// ErrSettled: the delivery was settled before, or its consumer or connection has gone and the broker has taken
	// it back. What was to be done about it may be done again by somebody else.
	ErrSettled = errors.New("the delivery is no longer held")
)

// RefusedError is wrapped where a broker that is a server answers and lets this process not in: a person has to mend the
// user, the password or the virtual host.
type RefusedError struct {
	Answer string // the server's word for it: ACCESS_REFUSED, NOT_ALLOWED
	Err    error
}

// Error says all that the server said. It may name the user and the virtual host.
func (e *RefusedError) Error() string { return "the broker refuses the connection: " + e.Err.Error() }

// Unwrap returns the server's answer.
func (e *RefusedError) Unwrap() error { return e.Err }

// Broker is a topic exchange with its queues. All methods are safe for concurrent use.
type Broker interface {
	// Publish hands m to every queue that has a matching key, and returns nil only when each of them keeps it. It
	// never waits for a consumer. Messages that one goroutine publishes are in each queue in that order. After any
	// error it is safe to publish again: consumers take repeated messages for what they are.
	Publish(ctx context.Context, m Message) error

	// Consume declares the queue of s and calls handle for its deliveries, one at a time and in the order of the
	// queue, on the calling goroutine. handle may keep a delivery and settle it later, from any goroutine; no more
	// than s.Prefetch are unsettled at once. Consumers of one queue compete: each message goes to one of them.
	//
	// It returns nil after ctx has ended and handle has returned. What is unsettled then goes back to the queue at
	// its old place, marked as redelivered, and what is published from then on is not delivered here. A lost
	// connection does not end it: it declares, binds and goes on when the connection is back. It returns an error only
	// for a subscription that can't be had.
	Consume(ctx context.Context, s Subscription, handle Handler) error
}

// Handler gets one delivery. ctx is that of Consume.
type Handler func(ctx context.Context, d Delivery)

// Subscription is a queue as its consumer declares it. A shared queue outlives its consumers, keeps what comes while
// there is none (up to a bound, then Publish returns ErrFull), and keeps its keys.
type Subscription struct {
	Queue    string
	Keys     []string      // routing keys, by words between dots: * is one word, # is any number of them
	Prefetch int           // deliveries held unsettled at once, at least 1
	Expires  time.Duration // a shared queue goes when it had no consumer for so long; 0: never
	// Exclusive makes the queue this consumer's own; it goes, with what it holds, when Consume returns or the
	// connection is lost.
	Exclusive bool
	// Ready, if set, is called each time the queue is bound: at first and after each reconnection. From then on
	// messages reach the queue; what was published before may not have, so this is the moment to read the rows.
	Ready func()
	// Lost, if set, is called when the queue can't be consumed any more, until Ready is called again: meanwhile only
	// the rows tell.
	Lost func()
}

// Delivery is one message on its way to a consumer. It stays the consumer's until it is settled.
type Delivery struct {
	Settler
	RoutingKey  string
	Body        []byte            // an envelope, if the sender kept to the contract; never to be changed
	Headers     map[string]string // from the transport; see HeaderReason
	Redelivered bool              // it was on its way before, so its work may have been done
}

// Settler ends a delivery; each returns ErrSettled if it was ended before. Safe for concurrent use.
type Settler interface {
	// Ack removes the message from the queue.
	Ack() error
	// Nack gives the message back. It comes again, to any consumer, until DeliveryLimit is reached.
	Nack() error
	// Reject moves the message to DeadLetterQueue with the reason; from there it removes it.
	Reject(reason string) error
}

// Open reads the delivery's envelope. An unreadable one is rejected with the reason and returns ErrUnreadable, for
// the caller to count; every other delivery is still to be settled.
func (d Delivery) Open() (Envelope, error) {
	envelope, err := Decode(d.Body)
	if err != nil {
		return Envelope{}, errors.Join(err, d.Reject(err.Error()))
	}
	return envelope, nil
}
