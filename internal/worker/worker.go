package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/host"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

// leaseIntervals is how many heartbeats may be missed before a worker counts as lost.
const leaseIntervals = 3

// poll is how often a worker reads its own rows, so that it needs no message.
const poll = time.Second

// Identity is what a worker says of itself when it registers.
type Identity struct {
	Name      string
	Type      string
	Host      string
	RuntimeID string // only this runtime; "" for all that were found
	Labels    map[string]string
	Slots     int  // executions at once
	Exclusive bool // takes only what is pinned to it, and leaves no row behind
}

// Limits bound the executions of a worker.
type Limits struct {
	TaskTimeout     time.Duration // for actions that name none
	KillGrace       time.Duration // from SIGTERM to SIGKILL
	ShutdownTimeout time.Duration // for what runs when the worker is told to end
	MaxOutputBytes  int64         // of stdout, and of stderr
	MaxResultBytes  int64
	Resources       attune.Limits // of executions whose action names none
	MaxResources    attune.Limits // of all executions
}

// Config says who the worker is and how it works.
type Config struct {
	Identity
	Limits
	Isolation Isolation
	Heartbeat time.Duration
	Home      Home
	Path      string        // PATH of actions
	Trace     bool          // trace every execution
	Retention time.Duration // of artifact files; 0 keeps them
	MinFree   host.Headroom // below it, nothing new is taken
	Progress  func()        // called as the worker looks for work, about once a second also while the database is away; may be nil

	APIURL string      // where actions reach the API, with tokens of their own; "" if they do not
	Ended  func(Ended) // called when an attempt has ended; may be nil

	SecretsInFiles bool // keys are in $ATTUNE_SECRETS_DIR alone, and not in the environment too

	Leased bool // counts as alive by its lease, and looks at its rows only while no messages come; else, its lock tells
}

// Deps are what a worker works with.
type Deps struct {
	Store      *store.Store
	Broker     broker.Broker
	Executions *execution.Service
	Runtimes   *runtime.Registry
	Processes  *process.Supervisor
	Artifacts  *artifact.Store
	Objects    *objects.Store // gets what attempts leave; nil for none, then it stays in Artifacts alone
	Keys       *secret.Safe   // decrypts keys and secret parameters
	Logger     *slog.Logger
}

// Worker runs executions.
type Worker struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	slots    *slots
	packs    *packs
	rooms    *rooms
	vault    vault
	confiner *Confiner
	spool    *spool
	courier  courier
	ledger   *ledger  // nil if it is not leased
	uploads  *uploads // nil without an artifact store
	failing  failing

	id          int64
	incarnation int64
	registered  chan struct{} // closed when the row is there and the queue is bound
	bound       sync.Once
	consuming   atomic.Int32              // how many of its two queues bring messages
	behind      atomic.Bool               // its rows were to be read and could not be
	renewed     atomic.Pointer[time.Time] // when the lease was renewed, by the monotonic clock
	shortOf     atomic.Pointer[[]attune.Shortage]
	running     sync.WaitGroup
	trying      context.Context         //nolint:containedctx // its own: what an attempt has to tell outlives the work's
	endTrying   context.CancelCauseFunc // when a result that can't be stored is no longer waited for
	draining    chan struct{}           // closed when the worker is to end once nothing runs
	drained     sync.Once
	kill        chan struct{} // closed by Kill
	killed      sync.Once
}

// New returns a Worker that Run starts.
func New(cfg Config, deps Deps) *Worker {
	if cfg.Progress == nil {
		cfg.Progress = func() {}
	}
	if cfg.Ended == nil {
		cfg.Ended = func(Ended) {}
	}
	log := deps.Logger.With("worker", cfg.Name)
	trying, endTrying := context.WithCancelCause(context.Background())
	return &Worker{
		cfg: cfg, deps: deps, log: log,
		slots:      newSlots(cfg.Slots),
		packs:      newPacks(cfg.Home.packs(), deps.Store),
		rooms:      newRooms(cfg.Home, cfg.Exclusive),
		vault:      vaultOf(cfg.Home),
		confiner:   NewConfiner(cfg.Isolation, deps.Processes),
		spool:      newSpool(cfg.Home.spool()),
		registered: make(chan struct{}),
		courier:    courier{deps.Executions, deps.Store, log},
		ledger:     newLedger(cfg),
		uploads:    newUploads(cfg.Name, deps, log),
		failing:    nothingFails(log),
		trying:     trying, endTrying: endTrying,
		draining: make(chan struct{}),
		kill:     make(chan struct{}),
	}
}

// Registered is closed when the worker has its row and its queue; ID is valid from then on.
func (w *Worker) Registered() <-chan struct{} { return w.registered }

// ID returns the id of the worker's row.
func (w *Worker) ID() int64 { return w.id }

// ErrSuperseded is the cause with which Run ends when a later incarnation has taken the worker's row.
var ErrSuperseded = errors.New("another process has registered as this worker")

// ErrDrained is the cause with which Run ends when the worker was drained and has nothing left to run.
var ErrDrained = errors.New("drained")

var errShutdown = errors.New("the worker was shut down")

// Run registers the worker and runs what is placed on it until ctx ends; what runs then has ShutdownTimeout to end by
// itself and is ended after it. The worker's lock is held, and its earlier life is buried, before anything new runs.
func (w *Worker) Run(ctx context.Context) (err error) {
	defer w.stopTrying()
	unlock, err := w.cfg.Home.await(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.start(ctx); err != nil {
		closed := w.deps.Processes.Close() // interpreters may have been asked
		if ctx.Err() != nil {
			return closed // told to end before it was ready: nothing has begun
		}
		return fmt.Errorf("start worker %s: %w", w.cfg.Name, errors.Join(err, closed))
	}
	defer func() { err = errors.Join(err, w.deps.Runtimes.CleanUp(context.WithoutCancel(ctx))) }()

	// taking ends first, work only after what runs has ended or its time is up.
	taking, stopTaking := context.WithCancelCause(ctx)
	defer stopTaking(nil)
	work, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWork(nil)

	loops, looping := errgroup.WithContext(taking)
	loops.Go(func() error { return w.consume(looping, work) })
	loops.Go(func() error { return w.poll(looping, work) })
	loops.Go(func() error { return w.retain(looping) })
	loops.Go(func() error { return w.watchHost(looping) })
	loops.Go(func() error { return w.watchDrain(looping) })
	loops.Go(func() error { return w.awaitDrained(looping, stopTaking) })
	if w.cfg.Leased { // a broker that is away keeps nobody from working
		patience := time.AfterFunc(queuePatience, w.closeRegistered)
		defer patience.Stop()
	}
	control, stopControl := context.WithCancelCause(context.WithoutCancel(ctx))
	var tending errgroup.Group
	tending.Go(func() error { return w.control(control) })
	tending.Go(func() error { return w.heartbeat(control, stopTaking) })
	tending.Go(func() error { return w.keepLease(control) })
	tending.Go(func() error { return w.deliverSpool(control) })
	tending.Go(func() error { return w.sendOutput(control) })
	if w.uploads != nil {
		tending.Go(func() error { return w.uploads.run(control) })
	}
	tending.Go(func() error { return w.deps.Processes.Reap(control) })
	tending.Go(func() error {
		select {
		case <-w.kill:
			stopTaking(errShutdown)
			stopWork(errShutdown)
		case <-control.Done():
		}
		return nil
	})

	err = loops.Wait()
	if cause := context.Cause(taking); errors.Is(cause, ErrSuperseded) || errors.Is(cause, ErrDrained) {
		err = errors.Join(err, cause)
	}
	w.finishRunning(stopWork, err)
	w.awaitDelivered()
	stopControl(errShutdown)
	// What is kept goes before the home does, and before the lock does.
	return errors.Join(err, tending.Wait(), w.rooms.close(), w.vault.empty(), w.deps.Processes.Close(), w.leave(context.WithoutCancel(ctx)))
}

// queuePatience is how long a worker that has its row waits for its queues before it calls itself ready.
const queuePatience = 5 * time.Second

func (w *Worker) stopTrying() { w.endTrying(errShutdown) }

func (w *Worker) closeRegistered() { w.bound.Do(func() { close(w.registered) }) }

// storeGrace is how long a worker that ends goes on trying to store results that the database does not take.
const storeGrace = 10 * time.Second

// killGrace is how long a worker that is killed goes on trying to store how its executions ended.
const killGrace = 2 * time.Second

// Kill ends everything that runs, at once and without a grace, and takes nothing more. It is for users who ask twice.
func (w *Worker) Kill() {
	w.killed.Do(func() { close(w.kill) })
	time.AfterFunc(killGrace, w.stopTrying)
	w.deps.Processes.Hurry()
}

// finishRunning waits for what runs; when the time is up, or the row belongs to somebody else, it ends it.
func (w *Worker) finishRunning(stopWork context.CancelCauseFunc, why error) {
	timeout := w.cfg.ShutdownTimeout
	if errors.Is(why, ErrSuperseded) {
		timeout = 0
	}
	stop := time.AfterFunc(timeout, func() { stopWork(errShutdown) })
	defer stop.Stop()
	giveUp := time.AfterFunc(timeout+w.cfg.KillGrace+storeGrace, w.stopTrying)
	defer giveUp.Stop()
	w.running.Wait()
}

// awaitDelivered gives the database some time to take what is in the spool, and the artifact store what has just ended;
// what is left waits for the next start.
func (w *Worker) awaitDelivered() {
	late := time.NewTimer(storeGrace)
	defer late.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for w.spool.size() > 0 || !w.uploads.done() {
		select {
		case <-late.C:
			if n := w.spool.size(); n > 0 {
				w.log.Warn("results wait in the spool for the next start", "results", n)
			}
			if !w.uploads.done() {
				w.log.Warn("artifacts wait for the next start to go into the artifact store")
			}
			return
		case <-w.kill:
			return
		case <-look.C:
		}
	}
}
