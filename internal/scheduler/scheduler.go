// Package scheduler owns the chores that keep executions moving: placing what waits, publishing again what was lost,
// giving back what was not claimed, rescuing what a lost worker held, and removing what is past its retention.
//
// A server, and the embedded shape's process, run one Scheduler each; any number may run on one database, because
// every chore is a compare-and-set. It places from the table, not from messages: they only wake it. It never runs an
// action and never talks to a worker.
package scheduler

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/store"
)

// Config says on what and how often the chores work. Zero durations take the defaults.
type Config struct {
	Store      *store.Store
	Broker     broker.Broker
	Executions *execution.Service
	Logger     *slog.Logger

	// Reach returns the workers that this process's broker reaches; if it is nil, that is all.
	Reach func() []int64
	// Bury tells whether a worker is dead, after having ended what it left on this host. nil goes by the lease.
	Bury func(context.Context, store.WorkerRow) (dead bool, err error)
	// Progress is called as the scheduler looks for what to place, about once a second, also while the database is away.
	Progress func()
	// Heard is called with each message that wakes the scheduler, of which all servers of a database together hear each
	// one; may be nil.
	Heard func(broker.Payload)

	RepublishAfter time.Duration // a scheduled or canceling row's message is repeated, 10 s
	ClaimWithin    time.Duration // then a scheduled row is given back, 30 s
	SweepInterval  time.Duration // 2 s
	RescueInterval time.Duration // 2 s
	RetainInterval time.Duration // 1 h; below 0 leaves that chore to others
	Retention      time.Duration // of artifact rows; 0 keeps them
	AuditRetention time.Duration // of the audit log; 0 keeps it

	Objects *objects.Store // where artifacts are that have gone into an artifact store; nil for none
}

// firstTime bounds how long a process that is to end goes on with the first time of a chore.
const firstTime = 5 * time.Second

// poll is how often the table is looked at without any message.
const poll = time.Second

func (c *Config) setDefaults() {
	if c.Reach == nil {
		c.Reach = func() []int64 { return nil }
	}
	if c.Progress == nil {
		c.Progress = func() {}
	}
	if c.Heard == nil {
		c.Heard = func(broker.Payload) {}
	}
	for d, value := range map[*time.Duration]time.Duration{
		&c.RepublishAfter: 10 * time.Second,
		&c.ClaimWithin:    30 * time.Second,
		&c.SweepInterval:  2 * time.Second,
		&c.RescueInterval: 2 * time.Second,
		&c.RetainInterval: time.Hour,
	} {
		if *d == 0 {
			*d = value
		}
	}
}

// Scheduler runs the chores.
type Scheduler struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{}
}

// New returns a Scheduler that Run starts.
func New(cfg Config) *Scheduler {
	cfg.setDefaults()
	return &Scheduler{cfg: cfg, log: cfg.Logger, wake: make(chan struct{}, 1)}
}

// Run runs the chores until ctx ends. No chore's failure ends it: what failed is logged and done again.
func (s *Scheduler) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.listen(ctx) })
	group.Go(func() error { return s.assign(ctx) })
	group.Go(func() error { return s.every(ctx, s.cfg.SweepInterval, "sweep", s.sweep) })
	group.Go(func() error { return s.every(ctx, s.cfg.RescueInterval, "rescue", s.rescuer()) })
	if s.cfg.RetainInterval > 0 {
		group.Go(func() error { return s.every(ctx, s.cfg.RetainInterval, "retention", s.retain) })
	}
	return group.Wait()
}

// every does a chore at once, and then again and again until ctx ends. The first time is done to its end, within
// firstTime: where only short commands run, it is all that ever gets done.
func (s *Scheduler) every(ctx context.Context, interval time.Duration, name string, chore func(context.Context) error) error {
	failing := outage.New(s.log.With("chore", name))
	try := func(ctx context.Context) {
		switch err := chore(ctx); {
		case err == nil:
			failing.Over("chore works again")
		case ctx.Err() == nil:
			failing.Error("chore failed, it is repeated", err)
		}
	}
	first, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstTime)
	try(first)
	cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			try(ctx)
		}
	}
}
