package telemetry

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// namespace begins the name of each metric of ours.
const namespace = "attune"

// Metrics is what one process tells Prometheus. What is counted is told to it by hooks, what is looked at is read when
// somebody asks. Each has a registry of its own; it is safe for concurrent use once the parts that it has were added.
type Metrics struct{ registry *prometheus.Registry }

// NewMetrics returns the figures that every process has: its build, Go's, and the operating system's of it.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the labels tell the build.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Write writes all figures in Prometheus's text format.
func (m *Metrics) Write(_ context.Context, w io.Writer) error {
	families, err := m.registry.Gather()
	if err != nil {
		return fmt.Errorf("gather the metrics: %w", err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return fmt.Errorf("write the metrics: %w", err)
		}
	}
	return nil
}

// counter, gauge and histogram add a metric of one part.
func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

// The buckets of durations, in seconds: of what runs from a moment to a day, and of what is answered while somebody waits.
func longBuckets() []float64 {
	return []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400}
}

func shortBuckets() []float64 { return []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30} }

// look is a collector that looks at something when somebody asks. A look that fails is left out.
type look struct {
	descriptions []*prometheus.Desc
	collect      func(add func(description *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string))
}

// Describe tells which metrics there are.
func (l look) Describe(to chan<- *prometheus.Desc) {
	for _, d := range l.descriptions {
		to <- d
	}
}

// Collect looks.
func (l look) Collect(to chan<- prometheus.Metric) {
	l.collect(func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	})
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// sinceSeconds is a time as Prometheus has durations.
func sinceSeconds(from, to time.Time) float64 { return max(0, to.Sub(from).Seconds()) }
