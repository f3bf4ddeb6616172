package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-automation/attune"
)

// Attempt is what an attempt that has ended adds to the figures of its worker.
type Attempt struct {
	Status         attune.Status
	Took           time.Duration
	Stdout, Stderr attune.Output
	Masked         int64
}

// Work is how a worker is doing.
type Work struct {
	Slots, Used int
	Spool       int
	Silence     time.Duration // since the lease was renewed
	Heartbeat   time.Duration // how often it is
	Short       []attune.Shortage
	Isolation   attune.Isolation
	Ready       bool
}

// Attempts are the figures of what a worker has run.
type Attempts struct {
	ended   *prometheus.CounterVec
	took    *prometheus.HistogramVec
	wrote   *prometheus.CounterVec
	dropped *prometheus.CounterVec
	masked  *prometheus.CounterVec
}

// Worker adds the figures of a worker: what it has run, and what now returns when somebody asks.
func (m *Metrics) Worker(now func() Work) *Attempts {
	ready := describe("worker_ready", "Whether the worker takes executions.")
	slots := describe("worker_slots", "Slots of this worker.")
	used := describe("worker_slots_used", "Slots of this worker that are in use.")
	spool := describe("worker_spool_results", "Results that wait on this host for the database.")
	silence := describe("worker_heartbeat_age_seconds", "Since the lease was renewed.")
	late := describe("worker_heartbeats_late", "Heartbeats that are missing; the lease is over when three are.")
	short := describe("worker_short_of", "What the host is short of, by what; nothing new is taken meanwhile.", "what")
	isolation := describe("worker_isolation_info", "Always 1; the label tells the least isolation of what runs here.", "level")
	m.registry.MustRegister(look{
		descriptions: []*prometheus.Desc{ready, slots, used, spool, silence, late, short, isolation},
		collect: func(add func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
			w := now()
			add(ready, prometheus.GaugeValue, map[bool]float64{true: 1}[w.Ready])
			add(slots, prometheus.GaugeValue, float64(w.Slots))
			add(used, prometheus.GaugeValue, float64(w.Used))
			add(spool, prometheus.GaugeValue, float64(w.Spool))
			add(silence, prometheus.GaugeValue, w.Silence.Seconds())
			add(late, prometheus.GaugeValue, float64(max(0, w.Silence/max(w.Heartbeat, 1)-1)))
			seen := map[string]bool{}
			for _, s := range w.Short {
				if what := string(s.Resource); !seen[what] {
					seen[what] = true
					add(short, prometheus.GaugeValue, 1, what)
				}
			}
			add(isolation, prometheus.GaugeValue, 1, string(w.Isolation))
		},
	})
	return &Attempts{
		ended:   m.counter("worker_attempts_total", "Attempts that have ended here, by how.", "status"),
		took:    m.histogram("worker_attempt_duration_seconds", "How long attempts took here, from the claim to the collected result.", longBuckets()),
		wrote:   m.counter("worker_output_bytes_total", "Bytes that actions wrote.", "stream"),
		dropped: m.counter("worker_output_dropped_bytes_total", "Bytes of them that were not kept.", "stream"),
		masked:  m.counter("worker_masked_places_total", "Places in which a secret was masked."),
	}
}

// Ended counts an attempt.
func (a *Attempts) Ended(e Attempt) {
	a.ended.WithLabelValues(string(e.Status)).Inc()
	a.took.WithLabelValues().Observe(e.Took.Seconds())
	for stream, output := range map[attune.Stream]attune.Output{attune.Stdout: e.Stdout, attune.Stderr: e.Stderr} {
		a.wrote.WithLabelValues(string(stream)).Add(float64(output.Bytes))
		a.dropped.WithLabelValues(string(stream)).Add(float64(output.DroppedBytes))
	}
	a.masked.WithLabelValues().Add(float64(e.Masked))
}
