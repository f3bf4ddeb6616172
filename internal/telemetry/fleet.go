package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

const (
	// stateAge is for how long a look at the database is good, however many ask.
	stateAge = 2 * time.Second
	// stateTime bounds a look: who asks gets the rest of the figures even if the database does not answer.
	stateTime = 3 * time.Second
	// countedInLine is how far the executions of one class are counted that wait: a million cost no more.
	countedInLine = 10_000
)

// state is what all servers of a database see alike: what waits, what runs, and the workers.
type state struct {
	db      *store.Store
	failing *outage.Log
	mu      sync.Mutex
	at      time.Time
	known   *snapshot // nil while the database does not tell
}

type snapshot struct {
	waiting map[attune.WaitReason]int
	oldest  float64
	held    map[attune.Status]int
	workers []store.WorkerRow
	now     time.Time
}

// State adds what the database tells. It is read when somebody asks, by a few statements of bounded cost.
func (m *Metrics) State(db *store.Store, log *slog.Logger) {
	s := &state{db: db, failing: outage.New(log)}
	up := describe("database_up", "Whether the database told what the others are made of.")
	waiting := describe("executions_waiting", "Executions that wait, by why; of one kind no more than 10,000 are counted.", "reason")
	oldest := describe("executions_oldest_waiting_seconds", "For how long the first one waits that may begin.")
	held := describe("executions_held", "Executions that workers have, by status.", "status")
	workers := describe("workers", "Workers, by status.", "status")
	slots := describe("workers_slots", "Slots of a worker.", "worker")
	used := describe("workers_slots_used", "Slots of a worker that are in use.", "worker")
	age := describe("workers_heartbeat_age_seconds", "Since the last heartbeat of a worker.", "worker")
	m.registry.MustRegister(look{
		descriptions: []*prometheus.Desc{up, waiting, oldest, held, workers, slots, used, age},
		collect: func(add func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
			known := s.recent()
			if known == nil {
				add(up, prometheus.GaugeValue, 0)
				return
			}
			add(up, prometheus.GaugeValue, 1)
			for _, reason := range []attune.WaitReason{attune.WaitSlot, attune.WaitWorker, attune.WaitRetry, attune.WaitEnvironment} {
				add(waiting, prometheus.GaugeValue, float64(known.waiting[reason]), string(reason))
			}
			add(oldest, prometheus.GaugeValue, known.oldest)
			for _, status := range []attune.Status{attune.StatusScheduled, attune.StatusRunning, attune.StatusCanceling} {
				add(held, prometheus.GaugeValue, float64(known.held[status]), string(status))
			}
			number := map[attune.WorkerStatus]int{}
			for _, w := range known.workers {
				number[w.Status]++
				if w.Status == attune.WorkerInactive {
					continue // it has ended: its slots are nobody's
				}
				add(slots, prometheus.GaugeValue, float64(w.Slots), w.Name)
				add(used, prometheus.GaugeValue, float64(w.SlotsUsed), w.Name)
				add(age, prometheus.GaugeValue, sinceSeconds(w.LastHeartbeat, known.now), w.Name)
			}
			for _, status := range []attune.WorkerStatus{
				attune.WorkerActive, attune.WorkerCordoned, attune.WorkerDraining, attune.WorkerInactive, attune.WorkerLost,
			} {
				add(workers, prometheus.GaugeValue, float64(number[status]), string(status))
			}
		},
	})
}

// recent returns what was seen at most stateAge ago. Who asks while somebody looks waits for that look.
func (s *state) recent() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < stateAge {
		return s.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	known, err := s.look(ctx)
	if err != nil {
		s.failing.Warn("the database does not tell what runs, its metrics are left out", err)
	} else {
		s.failing.Over("the database tells again what runs")
	}
	s.known, s.at = known, time.Now()
	return known
}

func (s *state) look(ctx context.Context) (*snapshot, error) {
	read := s.db.Read()
	lines, now, err := read.CountLines(ctx, countedInLine)
	if err != nil {
		return nil, err
	}
	known := &snapshot{waiting: map[attune.WaitReason]int{}}
	if known.held, err = read.CountHeld(ctx); err != nil {
		return nil, err
	}
	if known.workers, err = read.Workers(ctx); err != nil {
		return nil, err
	}
	if now.IsZero() { // nothing waits
		if now, err = read.Now(ctx); err != nil {
			return nil, err
		}
	}
	known.now = now
	for _, line := range lines {
		known.waiting[attune.WaitRetry] += line.Later
		if line.Due == 0 {
			continue
		}
		first := store.ExecutionRow{Class: line.Class}
		first.Status, first.NotBefore = attune.StatusRequested, line.Since
		known.waiting[execution.WaitingFor(first, known.workers, now).Reason] += line.Due
		known.oldest = max(known.oldest, sinceSeconds(line.Since, now))
	}
	return known, nil
}
