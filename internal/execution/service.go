package execution

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// Config is what a Service works on.
type Config struct {
	Store  *store.Store
	Broker broker.Broker
	Logger *slog.Logger

	Uploads     bool   // what attempts leave on a worker of this process goes from there to an artifact store
	Submitted   func() // called when an execution was stored that somebody asked for; may be nil
	Unpublished func() // called when a message could not be published; may be nil
}

// Service makes the transitions. All that it keeps can be read again. It is safe for concurrent use.
type Service struct {
	store      *store.Store
	broker     broker.Broker
	log        *slog.Logger
	publishing *outage.Log
	versions   versions
	left       store.Location // of the artifacts that an attempt has left
	cfg        Config

	submissions *writer[Submission, submitted]
	claims      *writer[attune.Fence, claimed]
	finishes    *writer[finished, ending]
}

// New returns a Service.
func New(cfg Config) *Service {
	for _, hook := range []*func(){&cfg.Submitted, &cfg.Unpublished} {
		if *hook == nil {
			*hook = func() {}
		}
	}
	s := &Service{
		cfg: cfg, store: cfg.Store, broker: cfg.Broker, log: cfg.Logger, publishing: outage.New(cfg.Logger), versions: newVersions(),
		left: store.LocationWorker,
	}
	if cfg.Uploads {
		s.left = store.LocationPending
	}
	s.submissions = newWriter(cfg.Store, submit)
	s.claims = newWriter(cfg.Store, claim)
	s.finishes = newWriter(cfg.Store, s.finish)
	return s
}

// Left is what an attempt has left on a worker of this process, as its rows have it.
func (s *Service) Left(executionID int64, worker string, artifacts []attune.Artifact, order attune.OutputOrder) store.Left {
	return store.Left{ExecutionID: executionID, Worker: worker, Artifacts: artifacts, Order: order, Location: s.left}
}

// publishers is how many messages of one transaction are on their way at once.
const publishers = 32

// publish sends what a committed transaction announces, and returns when all of it was sent. Failing is not an error:
// the sweep, or the reader's own poll of the row, makes up for it. A placement that no queue took is given back at once.
func (s *Service) publish(ctx context.Context, messages ...broker.Message) {
	// The commit has happened: a caller that goes away must not keep its message from going out.
	ctx = context.WithoutCancel(ctx)
	if len(messages) == 1 {
		s.publishOne(ctx, messages[0])
		return
	}
	var group errgroup.Group
	group.SetLimit(publishers)
	for _, m := range messages {
		group.Go(func() error {
			s.publishOne(ctx, m)
			return nil
		})
	}
	_ = group.Wait() // publishOne reports what fails
}

func (s *Service) publishOne(ctx context.Context, m broker.Message) {
	err := s.broker.Publish(ctx, m)
	if err != nil && !errors.Is(err, broker.ErrUnroutable) {
		s.cfg.Unpublished()
		s.publishing.Warn("message not published, the sweep repeats it", err, "type", m.Envelope.MessageType)
		return
	}
	s.publishing.Over("messages are published again")
	switch placed, scheduled := m.Envelope.Payload.(broker.ExecutionScheduled); {
	case err == nil:
	case scheduled:
		s.releaseUnroutable(ctx, placed)
	default:
		s.log.Debug("nobody takes the message, the worker reads the row", "type", m.Envelope.MessageType)
	}
}

func (s *Service) releaseUnroutable(ctx context.Context, m broker.ExecutionScheduled) {
	fence := attune.Fence{ExecutionID: m.ExecutionID, Attempt: m.Attempt, WorkerID: m.WorkerID, Incarnation: m.Incarnation}
	if err := s.PassOver(ctx, fence); err != nil {
		s.log.Warn("a placement that no queue took stays scheduled until the sweep", "execution", m.ExecutionID, "error", err)
	}
}

func requested(row store.ExecutionRow) broker.Message {
	return broker.Requested(broker.ExecutionRequested{ExecutionID: row.ID, ActionRef: row.Action})
}

func scheduled(f attune.Fence) broker.Message {
	return broker.Scheduled(broker.ExecutionScheduled{
		ExecutionID: f.ExecutionID, Attempt: f.Attempt, WorkerID: f.WorkerID, Incarnation: f.Incarnation,
	})
}

func cancelRequest(row store.ExecutionRow) broker.Message {
	return broker.CancelRequested(row.WorkerID, broker.ExecutionCancelRequested{ExecutionID: row.ID, Attempt: row.Attempt})
}

// changedNow announces a transition of row, as it was before, to another status; its time is the database's.
func changedNow(ctx context.Context, q *store.Queries, row store.ExecutionRow, to attune.Status) (broker.Message, error) {
	now, err := q.Now(ctx)
	return changed(row, row.Status, to, now), err
}

func changed(row store.ExecutionRow, from, to attune.Status, at time.Time) broker.Message {
	return broker.StatusChanged(broker.ExecutionStatusChanged{
		ExecutionID: row.ID, ActionRef: row.Action, Attempt: row.Attempt, PreviousStatus: from, NewStatus: to, ChangedAt: at,
	})
}

// stale is what a writer is told whose attempt is no longer the row's.
func stale(f attune.Fence, doing string) error {
	return attune.Errorf(attune.CodeStale, "%s execution %d: attempt %d on incarnation %d of worker %d is over",
		doing, f.ExecutionID, f.Attempt, f.Incarnation, f.WorkerID)
}
