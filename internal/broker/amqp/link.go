package amqp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/outage"
)

const (
	heartbeat    = 10 * time.Second // a connection is silent for three of them before it counts as lost
	dialTimeout  = 10 * time.Second // until the server has taken the credentials
	writeTimeout = 5 * time.Second
	callTimeout  = 30 * time.Second // to declare a queue may need an election in a cluster
	closeTimeout = 2 * time.Second
)

// errStopped is why there is no connection any more after Run.
var errStopped = errors.New("the broker's Run has ended")

// connection is an open connection and the socket beneath it.
type connection struct {
	*rabbit.Connection
	socket net.Conn
	closed <-chan *rabbit.Error // gets the reason, if there is one, and is closed
}

// limit bounds what call waits for the server: when time is up the connection is dropped, and with it all calls. The
// library's calls know no context, and a server may be frozen.
func (c *connection) limit(timeout time.Duration, call func() error) error {
	var hung atomic.Bool
	timer := time.AfterFunc(timeout, func() {
		hung.Store(true)
		_ = c.socket.Close()
	})
	defer timer.Stop()
	err := call()
	if err != nil && hung.Load() {
		return fmt.Errorf("%w: %w", errHung, err)
	}
	return err
}

// errHung says that the server did not answer a call in time.
var errHung = errors.New("RabbitMQ does not answer")

func (c *connection) close() {
	_ = c.limit(closeTimeout, c.Close) // it is given up whatever the server answers
	_ = c.socket.Close()
}

// socket gives each write a deadline of its own. Without it a peer that has gone silently holds the writer, and the
// library's locks with it, until the kernel gives up.
type socket struct{ net.Conn }

func (s socket) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// link is what keep keeps connected.
type link struct {
	purpose string
	// serve has the connection until it returns why it is of no more use. It calls up as soon as it is of use.
	serve func(ctx context.Context, c *connection, up func()) error
	down  func(why error) // called after each failure to connect, and after serve
}

// keep calls serve with a connection, and with a new one whenever that has ended, until ctx ends.
func (b *Broker) keep(ctx context.Context, l link) {
	log := b.config.Logger.With("server", address(b.config.URL), "purpose", l.purpose)
	away, before := outage.New(log), false
	up := func() {
		if !away.Over("connected to RabbitMQ") && !before {
			log.InfoContext(ctx, "connected to RabbitMQ")
		}
		before = true
	}
	var retry backoff
	for ctx.Err() == nil {
		began := time.Now()
		c, err := dial(ctx, b.config.URL, strings.TrimSpace(b.config.Name+" "+l.purpose))
		if err == nil {
			err = l.serve(ctx, c, up)
		}
		err = refusal(err)
		l.down(fmt.Errorf("no connection to RabbitMQ: %w", err))
		if c != nil {
			c.close()
		}
		if ctx.Err() == nil {
			tell(away, err)
		}
		retry.pause(ctx, began, nil) // also after a call that hung: all that is published waits for it
	}
}

func tell(away *outage.Log, err error) {
	var refused *broker.RefusedError
	if errors.As(err, &refused) {
		away.Error("RabbitMQ refuses the connection, trying again until it does not: user, password and virtual host are in "+
			"message_queue.url", refused.Err, "answer", refused.Answer)
		return
	}
	away.Warn("no connection to RabbitMQ, trying again until there is one", err)
}

// refusal makes a RefusedError of what a person has to mend. A wrong password is not said by RabbitMQ itself but by the
// library, since RabbitMQ just closes the connection of a client that does not know better.
func refusal(err error) error {
	var said *rabbit.Error
	if !errors.As(err, &said) || !said.Server && !errors.Is(err, rabbit.ErrCredentials) {
		return err
	}
	switch said.Code {
	case rabbit.AccessRefused:
		return &broker.RefusedError{Answer: "ACCESS_REFUSED", Err: err}
	case rabbit.NotAllowed:
		return &broker.RefusedError{Answer: "NOT_ALLOWED", Err: err}
	}
	return err
}

func dial(ctx context.Context, url, name string) (*connection, error) {
	properties := rabbit.NewConnectionProperties()
	properties.SetClientConnectionName(name)
	var raw net.Conn
	stop := func() bool { return false }
	c, err := rabbit.DialConfig(url, rabbit.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial: func(network, address string) (_ net.Conn, err error) {
			dialer := net.Dialer{Timeout: dialTimeout}
			if raw, err = dialer.DialContext(ctx, network, address); err != nil {
				return nil, err
			}
			stop = context.AfterFunc(ctx, func() { _ = raw.Close() }) // the handshake knows no context
			return socket{raw}, raw.SetDeadline(time.Now().Add(dialTimeout))
		},
	})
	stop()
	if err != nil {
		if raw != nil {
			_ = raw.Close()
		}
		return nil, err
	}
	return &connection{c, raw, c.NotifyClose(make(chan *rabbit.Error, 1))}, nil
}

// lost is the error for what was closed with this reason.
func lost(reason *rabbit.Error) error {
	if reason == nil {
		return errors.New("the connection was closed")
	}
	return reason
}

// address is a URL for the log: without user, password and options.
func address(url string) string {
	uri, err := rabbit.ParseURI(url)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%s://%s/%s", uri.Scheme, net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port)), strings.TrimPrefix(uri.Vhost, "/"))
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// Pauses after calls that hung, more than once in a row: each costs all that share the connection their own, so one
// queue that RabbitMQ has lost its way with must not do so often. Its worker reads rows meanwhile.
const (
	firstHungPause   = 30 * time.Second
	longestHungPause = 5 * time.Minute
)

// backoff spaces attempts: twice as far each time, with jitter, so that a thousand workers do not come back at once.
type backoff struct{ attempts, hung int }

// pause waits before the next attempt, or until ctx ends. The last one ended with err.
func (b *backoff) pause(ctx context.Context, began time.Time, err error) {
	wait := b.next(time.Since(began), err)
	timer := time.NewTimer(wait/2 + rand.N(wait/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// next is how long to wait after an attempt that took so long and ended with err. One that took long worked, and counts
// as no failure, unless it hung.
func (b *backoff) next(took time.Duration, err error) time.Duration {
	if !errors.Is(err, errHung) {
		b.hung = 0
	} else if b.hung++; b.hung > 1 {
		return min(firstHungPause<<min(b.hung-2, 10), longestHungPause)
	}
	if took > longestPause+dialTimeout {
		b.attempts = 0
	}
	b.attempts++
	return min(firstPause<<min(b.attempts-1, 10), longestPause)
}
