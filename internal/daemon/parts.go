package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/live"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/scheduler"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/worker"
)

// Parts are what every process opens: the database, the broker, and the service on both.
type Parts struct {
	cfg        *config.Config
	log        *slog.Logger
	version    string
	store      *store.Store
	broker     broker.Broker
	remote     *amqp.Broker // the broker, if it is a server; nil on the embedded shape
	executions *execution.Service
	keys       *secret.Safe
	mirror     *live.Mirror                  // of a server, whose workers are elsewhere; else nil
	objects    *objects.Store                // the artifact store; nil for none
	own        atomic.Pointer[worker.Worker] // of this process, if it has one
	figures    atomic.Pointer[figures]       // of a process that lasts; nil of a command
	floor      []byte                        // of the heap, see heapFloor
}

// heapFloor counts as live heap beside what is live. The few MiB that a process holds would otherwise be looked through
// dozens of times a second under load, each time that as much again has been allocated. Nobody touches it, so that it
// takes no memory, and a large heap is collected as ever.
const heapFloor = 32 << 20

// Open opens the data directory, makes it on first use, and sees to it that the core pack is installed.
func Open(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (*Parts, error) {
	// 0711: actions that run as other users pass through it, and can't list it.
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	db, err := store.Open(ctx, storeConfig(cfg, log))
	if err != nil {
		return nil, err
	}
	if err := api.EnsureCore(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p := &Parts{cfg: cfg, log: log, version: version, store: db, broker: inproc.New(inproc.Config{}), keys: safe(cfg, db)}
	p.floor = make([]byte, heapFloor)
	if cfg.Production() {
		p.remote = amqp.New(amqp.Config{
			URL: cfg.MessageQueue.URL, Exchange: cfg.MessageQueue.Exchange, Name: "attune on " + cfg.Worker.Host, Logger: log,
			PublishTimeout: publishTimeout,
		})
		p.broker = p.remote
	}
	if url := cfg.Artifacts.Store; url != "" {
		if p.objects, err = objects.New(url); err != nil {
			return nil, errors.Join(fmt.Errorf("artifacts.store: %w", err), db.Close())
		}
	}
	p.executions = execution.New(execution.Config{
		Store: db, Broker: p.broker, Logger: log, Uploads: p.objects != nil, Submitted: p.submitted, Unpublished: p.unpublished,
	})
	return p, nil
}

// masterKeys is the file in the data directory that holds the master keys of the embedded shape, if nothing else is
// configured. In production several hosts need the same ones: they are given, and never made.
const masterKeys = "master.keys"

func safe(cfg *config.Config, db *store.Store) *secret.Safe {
	c := secret.SafeConfig{File: cfg.Security.EncryptionKeyFile, Getenv: os.Getenv}
	if !cfg.Production() {
		c.Create = filepath.Join(cfg.DataDir, masterKeys)
		c.Sealed = func() (bool, error) {
			ctx, cancel := context.WithTimeout(context.Background(), store.LoopPatience)
			defer cancel()
			return db.Read().AnySealed(ctx)
		}
	}
	return secret.NewSafe(c)
}

// publishTimeout is how long a message may take to be confirmed. It only wakes somebody sooner than the rows would: who
// publishes must not wait much longer for that.
const publishTimeout = 2 * time.Second

func storeConfig(cfg *config.Config, log *slog.Logger) store.Config {
	return store.Config{
		URL: cfg.Database.URL, Dir: cfg.DataDir, MaxConnections: cfg.Database.MaxConnections, Logger: log,
	}
}

// Schema returns the version of the configured database's schema, and the one that this program needs.
func Schema(ctx context.Context, cfg *config.Config, log *slog.Logger) (current, needed int64, err error) {
	current, err = store.Schema(ctx, storeConfig(cfg, log))
	return current, store.SchemaVersion, err
}

// Migrate brings the schema of the configured database to what this program needs.
func Migrate(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	return store.Migrate(ctx, storeConfig(cfg, log))
}

// openPause is the mean time between two tries of OpenPatiently.
const openPause = 2 * time.Second

// OpenPatiently is Open for a service: a database that is away is waited for, until ctx ends.
func OpenPatiently(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (*Parts, error) {
	opening := outage.New(log)
	for said := false; ; {
		parts, err := Open(ctx, cfg, version, log)
		if err == nil {
			opening.Over("the database is there")
		}
		if !errors.Is(err, store.ErrUnavailable) {
			return parts, err
		}
		opening.Warn("the database is away, it is waited for", err)
		if !said {
			tell(log, "STATUS=waiting for the database")
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(openPause/2 + rand.N(openPause)):
		}
	}
}

// Close closes the database and the artifact store.
func (p *Parts) Close() error {
	if p.objects == nil {
		return p.store.Close()
	}
	return errors.Join(p.store.Close(), p.objects.Close())
}

// carry keeps the connections to a broker that is a server, until ctx ends.
func (p *Parts) carry(ctx context.Context) error {
	if p.remote == nil {
		return nil
	}
	return p.remote.Run(ctx)
}

// guessLimit is how many tokens that are not known may come from an address in a second.
const guessLimit = 10

// API returns the operations. Every submission is pinned to the worker that pin names, if there is one; with a token,
// requests must bear it.
func (p *Parts) API(token string, pin func() int64) *api.API {
	cfg := api.Config{
		Store: p.store, Executions: p.executions, Broker: p.broker, Token: token, Pin: pin, Version: p.version, Logger: p.log,
		Artifacts: p.artifactsOf, Objects: p.objects, Keys: p.keys, RenewKeys: !p.cfg.Production(), Live: p.mirror, Hooks: p.apiHooks(),
		RateLimit: p.cfg.Server.RateLimit, GuessLimit: guessLimit, BehindProxy: p.cfg.Server.BehindProxy, Origins: p.cfg.Server.Origins,
	}
	if pin == nil { // what is pinned waits in no line but its own command's
		cfg.MaxWaiting = p.cfg.Server.MaxWaiting
	}
	if p.remote != nil {
		cfg.MessagesAway = p.remote.Away
	}
	return api.New(cfg)
}

// artifactsOf returns where a worker keeps its files, if that is here: it may be a directory that hosts share.
func (p *Parts) artifactsOf(workerName string) (*artifact.Store, error) {
	if p.cfg.Production() {
		if _, err := os.Stat(filepath.Join(p.cfg.Artifacts.Dir, workerName)); err != nil {
			return nil, attune.Errorf(attune.CodeNotFound, "the output lies on worker %s: read it through a server (--server), or there, in its artifacts.dir "+
				"(`attune worker show %s` names the host); with artifacts.store set on workers and servers, what ends from then on is read here", workerName, workerName)
		}
	}
	return artifact.New(p.cfg.Artifacts.Dir, workerName)
}

// worker builds the worker of this process, whose actions reach the API at url, if that is not "". progress, if there is
// one, is called as its loop turns.
func (p *Parts) worker(name string, exclusive bool, url string, progress func()) (*worker.Worker, error) {
	home := worker.HomeOf(p.cfg.DataDir, name)
	deps, err := p.workerDeps(name, home)
	if err != nil {
		return nil, err
	}
	isolation, err := isolationOf(p.cfg)
	if err != nil {
		return nil, err
	}
	if err := shield(); err != nil {
		return nil, err
	}
	settings := p.cfg.Worker
	cfg := worker.Config{
		Identity: worker.Identity{
			Name: name, Type: settings.Type, Host: settings.Host, RuntimeID: settings.RuntimeID, Labels: settings.Labels,
			Slots: settings.MaxConcurrentTasks, Exclusive: exclusive,
		},
		Limits: worker.Limits{
			TaskTimeout: settings.TaskTimeout, KillGrace: settings.KillGrace, ShutdownTimeout: settings.ShutdownTimeout,
			MaxOutputBytes: settings.MaxOutputBytes, MaxResultBytes: settings.MaxResultBytes,
			Resources: settings.Resources, MaxResources: settings.MaxResources,
		},
		Isolation: isolation,
		Heartbeat: settings.HeartbeatInterval, Home: home, Path: settings.Path, Trace: settings.Trace,
		Retention: p.retention(), MinFree: settings.MinFree, Progress: progress, SecretsInFiles: settings.SecretsDelivery == config.DeliverFile,
		Ended: p.ended,
	}
	cfg.Leased, cfg.APIURL = p.remote != nil, url
	own := worker.New(cfg, deps)
	p.own.Store(own)
	return own, nil
}

// Running returns how many executions run in this process now.
func (p *Parts) Running() int {
	if own := p.own.Load(); own != nil {
		return own.Running()
	}
	return 0
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
		Artifacts: artifacts, Objects: p.objects, Keys: p.keys, Logger: p.log,
	}, nil
}

func (p *Parts) retention() time.Duration { return days(p.cfg.Artifacts.RetentionDays) }

func (p *Parts) auditRetention() time.Duration { return days(p.cfg.Server.AuditRetentionDays) }

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// embeddedScheduler builds the scheduler of an embedded process. It gives work to own alone, which is all that an
// in-process broker reaches, and buries the workers of other processes on this data directory by their locks. retain is
// how often it removes old rows, below 0 never. progress, if there is one, is called as its loop turns.
func (p *Parts) embeddedScheduler(own *worker.Worker, retain time.Duration, progress func()) *scheduler.Scheduler {
	undertaker := worker.Undertaker{
		DataDir: p.cfg.DataDir, ArtifactsDir: p.cfg.Artifacts.Dir, Store: p.store, Executions: p.executions, Logger: p.log,
	}
	return scheduler.New(scheduler.Config{
		Store: p.store, Broker: p.broker, Executions: p.executions, Logger: p.log,
		Retention: p.retention(), AuditRetention: p.auditRetention(), RetainInterval: retain, Progress: progress, Heard: p.heard,
		Reach: func() []int64 { return []int64{own.ID()} },
		Bury:  undertaker.Bury,
	})
}

// scheduler builds the scheduler of a server: it reaches every worker, and judges them by their leases.
func (p *Parts) scheduler(progress func()) *scheduler.Scheduler {
	return scheduler.New(scheduler.Config{
		Store: p.store, Broker: p.broker, Executions: p.executions, Logger: p.log,
		Retention: p.retention(), AuditRetention: p.auditRetention(), Progress: progress, Objects: p.objects,
		Heard: p.heard,
	})
}
