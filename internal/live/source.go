package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
)

const (
	// lease is how long a request is good. Servers repeat theirs three times as often.
	lease = 15 * time.Second
	// lookInterval is how often a log that is read is looked at: what an action writes in between goes in one message.
	lookInterval = 20 * time.Millisecond
	// chunk is the most that one message brings.
	chunk = 64 << 10
	// maxReadings bounds how many logs a worker sends at once: each costs a file and a goroutine.
	maxReadings = 1000
	// prefetch is how many messages are on their way at once. They are acknowledged as they come.
	prefetch = 100
)

// SourceConfig is what a Source works on.
type SourceConfig struct {
	Broker    broker.Broker
	Artifacts *artifact.Store
	Running   func(executionID int64, attempt int) bool // whether an attempt may still write here
	Logger    *slog.Logger
}

// Source sends the output of a worker's attempts to the servers that ask for it.
type Source struct {
	cfg SourceConfig

	mu       sync.Mutex
	readings map[recipient]*reading
}

// recipient is what is sent, and to whom.
type recipient struct {
	executionID int64
	attempt     int
	stream      attune.Stream
	server      string
}

// NewSource returns a Source that Run starts.
func NewSource(cfg SourceConfig) *Source {
	return &Source{cfg: cfg, readings: map[recipient]*reading{}}
}

var errStopped = errors.New("the worker ends")

// Run answers what a worker is asked until ctx ends. It returns an error only for a queue that can't be had.
func (s *Source) Run(ctx context.Context, workerID int64) error {
	var sending sync.WaitGroup
	defer sending.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(errStopped)
	queue := broker.FollowQueue(workerID, prefetch)
	return s.cfg.Broker.Consume(ctx, queue, func(ctx context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			s.cfg.Logger.Error("message rejected", "queue", queue.Queue, "error", err)
			return
		}
		if err := d.Ack(); err != nil {
			s.cfg.Logger.Debug("request for output not acknowledged, it comes again", "error", err)
		}
		asked, ok := envelope.Payload.(broker.OutputRequested)
		if !ok {
			return
		}
		if begun := s.ask(asked); begun != nil {
			sending.Go(func() { begun.run(ctx) })
		}
	})
}

// ask hands a request to the reading that it concerns, and returns one that is to be started for it.
func (s *Source) ask(asked broker.OutputRequested) (begun *reading) {
	to := recipient{asked.ExecutionID, asked.Attempt, asked.Stream, asked.ReplyTo}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readings[to]
	if r == nil {
		if len(s.readings) == maxReadings {
			s.cfg.Logger.Warn("a request for output is not answered: too many logs are read already", "logs", maxReadings)
			return nil
		}
		r = &reading{source: s, to: to, asks: make(chan broker.OutputRequested, 1)}
		s.readings[to], begun = r, r
	}
	select {
	case missed := <-r.asks:
		asked.Again = asked.Again || missed.Again
	default:
	}
	r.asks <- asked // there is room: nobody else sends
	return begun
}

// forget takes a reading out that has nothing left to do. It returns false if it was asked for more meanwhile.
func (s *Source) forget(r *reading) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(r.asks) > 0 {
		return false
	}
	delete(s.readings, r.to)
	return true
}

// drop takes a reading out whatever it was asked for.
func (s *Source) drop(r *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readings, r.to)
}
