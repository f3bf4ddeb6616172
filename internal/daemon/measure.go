package daemon

import (
	"context"

	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/telemetry"
	"github.com/attune-automation/attune/internal/worker"
)

// figures are what a process that lasts tells Prometheus. Commands have none.
type figures struct {
	*telemetry.Metrics
	executions *telemetry.Executions
	requests   *telemetry.Requests // nil without an API
	attempts   *telemetry.Attempts // nil without a worker
}

// measure has this process count. It comes before the parts that it counts are built.
func (p *Parts) measure(serves, works bool) {
	f := &figures{Metrics: telemetry.NewMetrics(p.version)}
	f.executions = f.Executions(p.store)
	f.Database(p.store)
	f.Broker(func() bool { return p.remote == nil || p.remote.Connected() })
	if serves {
		f.requests = f.Requests()
		f.State(p.store, p.log)
	}
	if works {
		f.attempts = f.Worker(p.work)
	}
	p.figures.Store(f)
}

// work is how this process's worker is doing.
func (p *Parts) work() telemetry.Work {
	own := p.own.Load()
	if own == nil {
		return telemetry.Work{}
	}
	s := own.State()
	return telemetry.Work{
		Slots: s.Slots, Used: s.Used, Spool: s.Spool, Silence: s.Silence, Heartbeat: s.Heartbeat, Short: s.Short, Isolation: s.Isolation,
		Ready: s.Registered && !s.Draining && !s.Lapsing && len(s.Short) == 0,
	}
}

// apiHooks are what the API tells of itself; none in a command.
func (p *Parts) apiHooks() api.Hooks {
	f := p.figures.Load()
	if f == nil || f.requests == nil {
		return api.Hooks{}
	}
	return api.Hooks{Began: f.requests.Began, Served: f.requests.Served, Metrics: f.Write}
}

// heard and ended are what the scheduler and the worker tell; submitted and unpublished, what anybody does who asks for
// an execution and announces it.
func (p *Parts) heard(payload broker.Payload) {
	if f := p.figures.Load(); f != nil {
		f.executions.Heard(payload)
	}
}

func (p *Parts) ended(e worker.Ended) {
	if f := p.figures.Load(); f != nil && f.attempts != nil {
		f.attempts.Ended(telemetry.Attempt(e))
	}
}

func (p *Parts) submitted() {
	if f := p.figures.Load(); f != nil {
		f.executions.Submitted()
	}
}

func (p *Parts) unpublished() {
	if f := p.figures.Load(); f != nil {
		f.executions.Unpublished()
	}
}

// measureTimes reads how long executions took, until ctx ends.
func (p *Parts) measureTimes(ctx context.Context) error {
	return p.figures.Load().executions.Run(ctx, p.log)
}
