package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/outage"
)

const (
	// renewal is how often a log is asked for again while somebody reads.
	renewal = 5 * time.Second
	// window is how much more than it has a server asks for: what may be on its way at once.
	window = 1 << 20
	// linger is how long a copy is kept without readers: one whose connection broke comes back.
	linger = 10 * time.Second
	// retry is how often is tried again what failed.
	retry = time.Second
)

// MirrorConfig is what a Mirror works on.
type MirrorConfig struct {
	Broker broker.Broker
	Dir    string // where the copies are; nobody else's
	Logger *slog.Logger
}

// Log is one stream of one attempt on a worker.
type Log struct {
	WorkerID    int64
	ExecutionID int64
	Attempt     int
	Stream      attune.Stream
}

// Mirror has copies of the logs that somebody reads here and that workers elsewhere write.
type Mirror struct {
	cfg    MirrorConfig
	server string        // what workers call this one
	due    chan struct{} // gets a value when there is something to ask for
	asking *outage.Log

	mu     sync.Mutex
	copies map[stream]*replica
}

// stream is what a part says that it is of. An attempt has one worker.
type stream struct {
	executionID int64
	attempt     int
	name        attune.Stream
}

func (l Log) stream() stream { return stream{l.ExecutionID, l.Attempt, l.Stream} }

// NewMirror returns a Mirror that Run starts. Until then, and after it, readers wait.
func NewMirror(cfg MirrorConfig) *Mirror {
	return &Mirror{
		cfg: cfg, server: uuid.NewString(), due: make(chan struct{}, 1), asking: outage.New(cfg.Logger), copies: map[stream]*replica{},
	}
}

// Run takes what workers send, until ctx ends.
func (m *Mirror) Run(ctx context.Context) error {
	if err := os.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("copies of logs: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.listen(ctx) })
	group.Go(func() error { m.ask(ctx); return nil })
	err := group.Wait()
	m.closeAll()
	return err
}

func (m *Mirror) listen(ctx context.Context) error {
	queue := broker.OutputQueue(m.server, prefetch)
	queue.Ready = m.askAgain
	return m.cfg.Broker.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			m.cfg.Logger.Error("message rejected", "queue", queue.Queue, "error", err)
			return
		}
		if part, ok := envelope.Payload.(broker.OutputWritten); ok {
			m.take(part)
		}
		if err := d.Ack(); err != nil {
			m.cfg.Logger.Debug("output not acknowledged, it comes again", "error", err)
		}
	})
}

// take adds a part to the copy that it is of.
func (m *Mirror) take(part broker.OutputWritten) {
	m.mu.Lock()
	r := m.copies[stream{part.ExecutionID, part.Attempt, part.Stream}]
	m.mu.Unlock()
	if r != nil && r.add(part) {
		m.wake()
	}
}

// wake has what is due asked for at once.
func (m *Mirror) wake() {
	select {
	case m.due <- struct{}{}:
	default: // it will be
	}
}

// askAgain is called when the queue is there (again): what was on its way may be lost.
func (m *Mirror) askAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.copies {
		r.lose()
	}
	m.wake()
}

// ask asks workers for what readers wait for, until ctx ends.
func (m *Mirror) ask(ctx context.Context) {
	look := time.NewTicker(retry)
	defer look.Stop()
	for {
		for _, r := range m.wanted() {
			m.request(ctx, r)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.due:
		case <-look.C:
		}
	}
}

// wanted returns the copies that are to be asked for, and forgets those that nobody reads any more.
func (m *Mirror) wanted() (wanted []*replica) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for of, r := range m.copies {
		switch due, unread := r.state(); {
		case unread:
			delete(m.copies, of)
			r.close(errUnread)
		case due:
			wanted = append(wanted, r)
		}
	}
	return wanted
}

func (m *Mirror) request(ctx context.Context, r *replica) {
	err := m.cfg.Broker.Publish(ctx, broker.FollowOutput(r.log.WorkerID, r.request(m.server)))
	switch {
	case err == nil:
		m.asking.Over("workers can be asked for output again")
	case errors.Is(err, broker.ErrUnroutable):
		m.cfg.Logger.Debug("a worker can't be asked for output, it is tried again", "worker", r.log.WorkerID)
	default:
		m.asking.Warn("workers can't be asked for output, it is tried again", err)
	}
}

// Errors of readers.
var (
	errUnread = errors.New("nobody reads it")
	errEnded  = errors.New("the server ends")
)

func (m *Mirror) closeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for of, r := range m.copies {
		delete(m.copies, of)
		r.close(errEnded)
	}
}

// Join returns a reader of a log from an offset on. Close gives it back.
func (m *Mirror) Join(log Log, offset int64) (*Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.copies[log.stream()]
	if r == nil {
		file, err := m.unnamed()
		if err != nil {
			return nil, fmt.Errorf("copy of a log: %w", err)
		}
		r = newReplica(log, file)
		m.copies[log.stream()] = r
	}
	r.join()
	m.wake()
	return &Reader{replica: r, offset: offset}, nil
}

// unnamed returns a file that goes with its descriptor, whatever this process dies of.
func (m *Mirror) unnamed() (*os.File, error) {
	file, err := os.CreateTemp(m.cfg.Dir, "log-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
