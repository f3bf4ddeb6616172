package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests are the figures of an HTTP API. Its labels are ids of operations and classes of statuses, never paths.
type Requests struct {
	answered *prometheus.CounterVec
	took     *prometheus.HistogramVec
	now      *prometheus.GaugeVec
}

// Requests adds them.
func (m *Metrics) Requests() *Requests {
	return &Requests{
		answered: m.counter("http_requests_total", "Requests that were answered.", "operation", "status"),
		took: m.histogram("http_request_duration_seconds", "How long answers took, of streams until they were over.",
			shortBuckets(), "operation"),
		now: m.gauge("http_requests_in_flight", "Requests that are being answered now; of get-log and stream-events: open streams.", "operation"),
	}
}

// noOperation is the label of pages, and of requests that were refused before any operation saw them.
const noOperation = "none"

// Served counts a request.
func (r *Requests) Served(operation string, status int, took time.Duration) {
	if operation == "" {
		operation = noOperation
	}
	r.answered.WithLabelValues(operation, fmt.Sprintf("%dxx", status/100)).Inc()
	r.took.WithLabelValues(operation).Observe(took.Seconds())
}

// Began counts an operation until it is over.
func (r *Requests) Began(operation string) (over func()) {
	now := r.now.WithLabelValues(operation)
	now.Inc()
	return now.Dec
}
