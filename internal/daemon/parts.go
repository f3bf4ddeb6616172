package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/worker"
)

// Parts are what every embedded process opens: the database, the in-process broker, and the service on both.
type Parts struct {
	cfg        *config.Config
	log        *slog.Logger
	version    string
	store      *store.Store
	broker     *inproc.Broker
	executions *execution.Service
}

// Open opens the data directory, makes it on first use, and sees to it that the core pack is installed.
func Open(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (*Parts, error) {
	// 0711: actions that run as other users pass through it, and can't list it.
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	db, err := store.Open(ctx, store.Config{
		URL: cfg.Database.URL, Dir: cfg.DataDir, MaxConnections: cfg.Database.MaxConnections, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	if err := api.EnsureCore(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	messages := inproc.New(inproc.Config{})
	return &Parts{
		cfg: cfg, log: log, version: version, store: db, broker: messages,
		executions: execution.New(execution.Config{Store: db, Broker: messages, Logger: log}),
	}, nil
}

// Close closes the database.
func (p *Parts) Close() error { return p.store.Close() }

// API returns the operations. Every submission is pinned to the worker that pin names, if there is one; with a token,
// requests must bear it.
func (p *Parts) API(token string, pin func() int64) *api.API {
	return api.New(api.Config{
		Store: p.store, Executions: p.executions, Broker: p.broker, Token: token, Pin: pin, Version: p.version, Logger: p.log,
		Artifacts: func(workerName string) (*artifact.Store, error) { return artifact.New(p.cfg.Artifacts.Dir, workerName) },
	})
}

// worker builds the worker of this process.
func (p *Parts) worker(name string, exclusive bool) (*worker.Worker, error) {
	home := worker.HomeOf(p.cfg.DataDir, name)
	deps, err := p.workerDeps(name, home)
	if err != nil {
		return nil, err
	}
	settings := p.cfg.Worker
	return worker.New(worker.Config{
		Identity: worker.Identity{
			Name: name, Type: settings.Type, Host: settings.Host, RuntimeID: settings.RuntimeID, Labels: settings.Labels,
			Slots: settings.MaxConcurrentTasks, Exclusive: exclusive,
		},
		Limits: worker.Limits{
			TaskTimeout: settings.TaskTimeout, KillGrace: settings.KillGrace, ShutdownTimeout: settings.ShutdownTimeout,
			MaxOutputBytes: settings.MaxOutputBytes, MaxResultBytes: settings.MaxResultBytes,
		},
		Heartbeat: settings.HeartbeatInterval, Home: home, Path: settings.Path, Trace: settings.Trace,
		Retention: p.retention(),
	}, deps), nil
}

func (p *Parts) workerDeps(name string, home worker.Home) (worker.Deps, error) {
	processes, err := process.New(process.Config{Name: name, RecordsDir: home.Processes(), Logger: p.log})
	if err != nil {
		return worker.Deps{}, err
	}
	artifacts, err := artifact.New(p.cfg.Artifacts.Dir, name)
	if err != nil {
		return worker.Deps{}, err
	}
	runtimes := runtime.NewRegistry(local.New(local.Config{
		Processes: processes, Path: p.cfg.Worker.Path, FallbackPath: os.Getenv("PATH"), Only: p.cfg.Worker.RuntimeID,
		SupportDir: filepath.Join(p.cfg.DataDir, "runtimes"), CacheFile: filepath.Join(p.cfg.DataDir, "runtimes.json"),
		Logger: p.log,
	}))
	return worker.Deps{
		Store: p.store, Broker: p.broker, Executions: p.executions, Runtimes: runtimes, Processes: processes,
		Artifacts: artifacts, Logger: p.log,
	}, nil
}

func (p *Parts) retention() time.Duration {
	return time.Duration(p.cfg.Artifacts.RetentionDays) * 24 * time.Hour
}

// scheduler builds the scheduler of this process. It gives work to own alone, which is all that an in-process broker
// reaches, and buries the workers of other processes on this data directory by their locks. retain is how often it
// removes old rows, below 0 never.
func (p *Parts) scheduler(own *worker.Worker, retain time.Duration) *scheduler.Scheduler {
	undertaker := worker.Undertaker{DataDir: p.cfg.DataDir, Store: p.store, Executions: p.executions, Logger: p.log}
	return scheduler.New(scheduler.Config{
		Store: p.store, Broker: p.broker, Executions: p.executions, Logger: p.log,
		Retention: p.retention(), RetainInterval: retain,
		Reach: func(row store.WorkerRow) bool { return row.ID == own.ID() },
		Bury:  undertaker.Bury,
	})
}
