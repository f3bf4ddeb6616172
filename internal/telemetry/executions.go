package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// Executions are the figures of what was asked for and how it ended. All servers of a database together count each end
// once, because they compete for the messages that tell of it.
type Executions struct {
	submitted   *prometheus.CounterVec
	unpublished *prometheus.CounterVec
	ended       *prometheus.CounterVec
	took        *prometheus.HistogramVec
	waited      *prometheus.HistogramVec
	fresh       chan int64 // those that have ended and whose times are not known yet
	db          *store.Store
}

const (
	// timesEvery is how often the times of what has ended are read, at most timesAtOnce in one statement.
	timesEvery  = time.Second
	timesAtOnce = 500
	// maxFresh bounds what waits for that: of what comes faster a part is not measured.
	maxFresh = 20_000
)

// Executions adds them. The times are read from db while Run runs, some hundred in one statement.
func (m *Metrics) Executions(db *store.Store) *Executions {
	e := &Executions{
		submitted:   m.counter("executions_submitted_total", "Executions that were asked for here, reruns with them."),
		unpublished: m.counter("messages_unpublished_total", "Messages that could not be published here, and that the sweep makes up for."),
		ended:       m.counter("executions_ended_total", "Executions that have ended, by how.", "status"),
		took:        m.histogram("execution_duration_seconds", "From the start of the last attempt to its end.", longBuckets(), "status"),
		waited:      m.histogram("execution_wait_seconds", "From submission to the start of the last attempt.", longBuckets()),
		fresh:       make(chan int64, maxFresh),
		db:          db,
	}
	e.zeros()
	return e
}

// Submitted counts an execution that was asked for.
func (e *Executions) Submitted() { e.submitted.WithLabelValues().Inc() }

// Unpublished counts a message that could not be published.
func (e *Executions) Unpublished() { e.unpublished.WithLabelValues().Inc() }

// Heard counts the end of an execution, if a message tells of one.
func (e *Executions) Heard(payload broker.Payload) {
	change, ok := payload.(broker.ExecutionStatusChanged)
	if !ok || !change.NewStatus.Final() {
		return
	}
	e.ended.WithLabelValues(string(change.NewStatus)).Inc()
	select {
	case e.fresh <- change.ExecutionID:
	default: // more than anybody could read
	}
}

// Run reads the times of what has ended, until ctx ends. A database that is away costs those times and nothing else.
func (e *Executions) Run(ctx context.Context, log *slog.Logger) error {
	reading := outage.New(log)
	ticker := time.NewTicker(timesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for ids := e.take(); len(ids) > 0; ids = e.take() {
			rows, err := e.db.Read().EndedByID(ctx, ids)
			if err != nil {
				if ctx.Err() == nil {
					reading.Warn("the times of executions are not measured", err)
				}
				break
			}
			reading.Over("the times of executions are measured again")
			for _, row := range rows {
				e.observe(row)
			}
		}
	}
}

func (e *Executions) take() (ids []int64) {
	for len(ids) < timesAtOnce {
		select {
		case id := <-e.fresh:
			ids = append(ids, id)
		default:
			return ids
		}
	}
	return ids
}

func (e *Executions) observe(row store.EndedTimes) {
	if row.StartedAt == nil { // it never began
		return
	}
	e.took.WithLabelValues(string(row.Status)).Observe(sinceSeconds(*row.StartedAt, row.FinishedAt))
	e.waited.WithLabelValues().Observe(sinceSeconds(row.CreatedAt, *row.StartedAt))
}

// zeros has the counters of all ends begin at 0, so that a rate has something to begin with.
func (e *Executions) zeros() {
	for _, status := range attune.Statuses() {
		if status.Final() {
			e.ended.WithLabelValues(string(status))
		}
	}
	e.submitted.WithLabelValues()
	e.unpublished.WithLabelValues()
}
