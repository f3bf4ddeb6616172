// Package amqp is the broker of many processes: RabbitMQ, 3.10 or newer, as servers and workers share it.
//
// The composition root makes it and runs it, and hands it to whoever takes a broker.Broker. While Run runs, it keeps
// one connection to publish and, once somebody consumes, another one to consume, so that a server that throttles
// publishers does not hold back acknowledgements:
//
//	┌── dial ──▶ connected ──▶ lost (or refused) ──┐
//	└────────── wait, longer each time ◀───────────┘
//
// It holds no message while there is no connection: Publish fails, and the rows bring back what was lost. It never
// deletes a queue but an exclusive one, and never changes one that exists.
package amqp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune/internal/broker"
)

// Defaults of Config.
const (
	DefaultExchange       = "attune.executions"
	DefaultQueueLimit     = 100_000 // about 50 MB of messages
	DefaultPublishTimeout = 10 * time.Second
)

// Config is what New takes.
type Config struct {
	URL      string // amqp:// or amqps://, as Validate takes it
	Exchange string // the topic exchange of all messages; "" is DefaultExchange
	Name     string // of this process, in RabbitMQ's list of connections

	// QueueLimit bounds a shared queue, and the dead letters; 0 is DefaultQueueLimit. RabbitMQ keeps a queue's
	// arguments for its life, so it has to be the same in all processes, always.
	QueueLimit int

	PublishTimeout time.Duration // Publish waits no longer to be confirmed; 0 is DefaultPublishTimeout
	Logger         *slog.Logger  // told of each loss and each recovery, never of a password; nil tells nobody
}

// Broker implements broker.Broker.
type Broker struct {
	config    Config
	outlet    *current[outlet]     // of the publishing connection
	intake    *current[connection] // the consuming connection
	consuming func()               // somebody consumes; from then on there is an intake
	consumed  <-chan struct{}      // closed by consuming
}

var _ broker.Broker = (*Broker)(nil)

// New returns a broker that is connected while Run runs.
func New(c Config) *Broker {
	c.Exchange = cmp.Or(c.Exchange, DefaultExchange)
	c.QueueLimit = cmp.Or(c.QueueLimit, DefaultQueueLimit)
	c.PublishTimeout = cmp.Or(c.PublishTimeout, DefaultPublishTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	consumed := make(chan struct{})
	return &Broker{
		config: c, outlet: newCurrent[outlet](), intake: newCurrent[connection](),
		consuming: sync.OnceFunc(func() { close(consumed) }), consumed: consumed,
	}
}

// Validate tells whether a URL can be one of RabbitMQ. Its error never quotes the URL, which may hold a password. What
// may be the end of one, but is a virtual host or an option to the library, is refused: the log names virtual hosts.
func Validate(url string) error {
	_, rest, _ := strings.Cut(url, "://")
	ambiguous := false
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		ambiguous = strings.Contains(rest[end:], "@")
	}
	if _, err := rabbit.ParseURI(url); err != nil || ambiguous {
		return errors.New("not the URL of a RabbitMQ: want amqp://user:password@host:5672/vhost (or amqps://), " +
			"with %XX for special characters in its parts (%40 for @, %2F for /)")
	}
	return nil
}

// Run connects, and again whenever a connection is lost, until ctx ends; then it disconnects and returns nil. It
// returns an error only for a URL that is none.
func (b *Broker) Run(ctx context.Context) error {
	if err := Validate(b.config.URL); err != nil {
		b.outlet.set(nil, err)
		return err
	}
	var links sync.WaitGroup
	links.Go(func() {
		b.keep(ctx, link{"publish", b.serveOutlet, func(why error) { b.outlet.set(nil, why) }})
		b.outlet.set(nil, errStopped)
	})
	links.Go(func() {
		select {
		case <-ctx.Done():
		case <-b.consumed:
			b.keep(ctx, link{"consume", b.serveIntake, func(why error) { b.intake.set(nil, why) }})
		}
	})
	links.Wait()
	return nil
}

// Connected tells whether what is needed now is there: the connection to publish, and if somebody consumes, the one
// to consume.
func (b *Broker) Connected() bool { return b.Away() == nil }

// Away returns nil while it is connected, else why it is not: a *broker.RefusedError if RabbitMQ lets it not in.
func (b *Broker) Away() error {
	err := b.outlet.away()
	select {
	case <-b.consumed:
		return cmp.Or(err, b.intake.away())
	default:
		return err
	}
}

// serveIntake lends the connection to Consume until it is lost.
func (b *Broker) serveIntake(ctx context.Context, c *connection, up func()) error {
	b.intake.set(c, nil)
	up()
	select {
	case <-ctx.Done():
		return errStopped
	case reason := <-c.closed:
		return lost(reason)
	}
}
