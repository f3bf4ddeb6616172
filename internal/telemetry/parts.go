package telemetry

import (
	"database/sql"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-automation/attune/internal/store"
)

// Database adds how its connections are doing.
func (m *Metrics) Database(db *store.Store) {
	open := describe("database_connections", "Connections, by what they are for and whether they are in use.", "pool", "state")
	most := describe("database_connections_max", "The most that there may be.", "pool")
	waits := describe("database_connection_waits_total", "How often all were in use, and somebody waited.", "pool")
	waited := describe("database_connection_wait_seconds_total", "For how long.", "pool")
	failed := describe("database_failures_total", "Statements and transactions that failed: unavailable is a database that is busy, locked or away.", "kind")
	m.registry.MustRegister(look{
		descriptions: []*prometheus.Desc{open, most, waits, waited, failed},
		collect: func(add func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
			figures := db.Figures()
			for pool, stats := range map[string]sql.DBStats{"read": figures.Read, "write": figures.Write} {
				add(open, prometheus.GaugeValue, float64(stats.InUse), pool, "used")
				add(open, prometheus.GaugeValue, float64(stats.Idle), pool, "idle")
				add(most, prometheus.GaugeValue, float64(stats.MaxOpenConnections), pool)
				add(waits, prometheus.CounterValue, float64(stats.WaitCount), pool)
				add(waited, prometheus.CounterValue, stats.WaitDuration.Seconds(), pool)
			}
			add(failed, prometheus.CounterValue, float64(figures.Unavailable), "unavailable")
			add(failed, prometheus.CounterValue, float64(figures.Failed), "other")
		},
	})
}

// Broker adds whether it is connected.
func (m *Metrics) Broker(connected func() bool) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "broker_connected", Help: "Whether there is a connection to RabbitMQ; 1 where the broker is in this process.",
	}, func() float64 {
		if connected() {
			return 1
		}
		return 0
	}))
}
