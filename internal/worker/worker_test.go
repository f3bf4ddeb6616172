package worker_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/inproc"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing here takes a second unless something is wrong.
const patience = 30 * time.Second

// host is one worker on a data directory of its own, with everything real beneath it.
type host struct {
	*execution.Service
	t         *testing.T
	dir       string
	store     *store.Store
	broker    *inproc.Broker
	keys      *secret.Safe
	objects   *objects.Store // nil for none
	log       *slog.Logger
	cfg       worker.Config
	worker    *worker.Worker
	processes *process.Supervisor
	stop      context.CancelCauseFunc
	ended     chan error
}

func newHost(t *testing.T, change func(*worker.Config)) *host {
	t.Helper()
	return newHostOn(t, storetest.SQLite(t), change)
}

// newHostOn is newHost on a database of the test's choice.
func newHostOn(t *testing.T, db storetest.Database, change func(*worker.Config)) *host {
	t.Helper()
	h := &host{t: t, dir: cmp.Or(db.Dir, t.TempDir()), broker: inproc.New(inproc.Config{}), log: slog.New(slog.DiscardHandler)}
	h.store = db.Open(t)
	h.keys = secret.NewSafe(secret.SafeConfig{Create: filepath.Join(h.dir, "master.keys")})
	h.Service = execution.New(execution.Config{Store: h.store, Broker: h.broker, Logger: slog.New(slog.DiscardHandler)})
	h.cfg = worker.Config{
		Identity:  worker.Identity{Name: "w", Type: attune.WorkerTypeLocal, Host: "h", Slots: 4},
		Limits:    worker.Limits{TaskTimeout: time.Minute, KillGrace: 5 * time.Second, ShutdownTimeout: 20 * time.Second, MaxOutputBytes: 1 << 20, MaxResultBytes: 1 << 20},
		Heartbeat: time.Second,
		Home:      worker.HomeOf(h.dir, "w"),
		Path:      local.DefaultPath,
	}
	if change != nil {
		change(&h.cfg)
	}
	return h
}

// start runs the worker until the test ends, and returns when it is ready.
func (h *host) start() *host {
	h.t.Helper()
	h.begin()
	select {
	case <-h.worker.Registered():
	case err := <-h.ended:
		h.t.Fatalf("the worker did not start: %v", err)
	case <-time.After(patience):
		h.t.Fatal("the worker did not start")
	}
	return h
}

// begin runs the worker until the test ends.
func (h *host) begin() {
	h.t.Helper()
	processes, err := process.New(process.Config{Name: h.cfg.Name, RecordsDir: h.cfg.Home.Processes()})
	if err != nil {
		h.t.Fatal(err)
	}
	h.processes = processes
	artifacts, err := artifact.New(filepath.Join(h.dir, "artifacts"), h.cfg.Name)
	if err != nil {
		h.t.Fatal(err)
	}
	h.worker = worker.New(h.cfg, worker.Deps{
		Store: h.store, Broker: h.broker, Executions: h.Service, Processes: processes, Artifacts: artifacts, Objects: h.objects,
		Runtimes: runtime.NewRegistry(local.New(local.Config{
			Processes: processes, FallbackPath: os.Getenv("PATH"), SupportDir: filepath.Join(h.dir, "runtimes"),
			CacheFile: filepath.Join(h.dir, "runtimes.json"), Logger: slog.New(slog.DiscardHandler),
		})),
		Keys:   h.keys,
		Logger: h.log,
	})
	ctx, stop := context.WithCancelCause(context.Background())
	h.stop, h.ended = stop, make(chan error, 1)
	go func(w *worker.Worker) { h.ended <- w.Run(ctx) }(h.worker)
	h.t.Cleanup(func() { h.end() })
}

// end stops the worker and returns what Run returned.
func (h *host) end() error {
	h.stop(nil)
	return h.wait()
}

func (h *host) wait() error {
	select {
	case err := <-h.ended:
		h.ended <- err // for a second call
		return err
	case <-time.After(patience):
		h.t.Error("the worker did not end")
		return nil
	}
}

// submit submits a script, whose name's ending picks the runtime.
func (h *host) submit(name, script, parameters string, change func(*attune.Action)) int64 {
	h.t.Helper()
	action, archive, err := pack.Script(name, []byte(script))
	if err != nil {
		h.t.Fatal(err)
	}
	if change != nil {
		change(&action)
	}
	sub := execution.Submission{Action: action, Archive: archive, Parameters: json.RawMessage(parameters)}
	if h.cfg.Exclusive {
		w, err := h.store.Read().WorkerByName(context.Background(), h.cfg.Name)
		if err != nil {
			h.t.Fatal(err)
		}
		sub.Pin = w.ID
	}
	row, _, err := h.Submit(context.Background(), sub)
	if err != nil {
		h.t.Fatal(err)
	}
	return row.ID
}

// place schedules what waits, and returns how much.
func (h *host) place() int {
	h.t.Helper()
	round, err := h.Schedule(context.Background(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return round.Placed
}

// run submits a script and waits for its end.
func (h *host) run(name, script, parameters string) store.ExecutionRow {
	h.t.Helper()
	id := h.submit(name, script, parameters, nil)
	h.place()
	return h.until(id, attune.Status.Final)
}

func (h *host) until(id int64, is func(attune.Status) bool) store.ExecutionRow {
	h.t.Helper()
	var row store.ExecutionRow
	storetest.Eventually(h.t, func() bool {
		var err error
		if row, err = h.store.Read().Execution(context.Background(), id); err != nil {
			h.t.Fatal(err)
		}
		return is(row.Status)
	})
	return row
}

func (h *host) untilIs(id int64, want attune.Status) store.ExecutionRow {
	h.t.Helper()
	return h.until(id, func(s attune.Status) bool { return s == want })
}

func (h *host) read(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "artifacts", "w", name))
	if err != nil {
		h.t.Error(err)
	}
	return string(text)
}

func TestRunsShellAndPython(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	row := h.run("a.sh", `echo "got $PARAM_NAME in $ATTUNE_EXECUTION_ID on $ATTUNE_WORKER"; echo oops >&2; echo '{"a":1}'`, `{"name":"x $(id) 'y'"}`)
	if row.Status != attune.StatusCompleted || string(row.Result) != `{"a":1}` || row.Stderr.Bytes != 5 {
		t.Errorf("%+v", row.Execution)
	}
	if out := h.read("execution_1/stdout.log"); out != "got x $(id) 'y' in 1 on w\n{\"a\":1}\n" {
		t.Errorf("stdout %q", out)
	}
	if h.read("execution_1/stderr.log") != "oops\n" || h.read("execution_1/result.json") != "{\"a\":1}\n" {
		t.Error("stderr or result not kept")
	}
	row = h.run("b.py", "def run(n, **rest):\n    return {'twice': 2 * n}\n", `{"n": 21}`)
	if row.Status != attune.StatusCompleted || string(row.Result) != `{"twice":42}` {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "workers", "w", "tasks")); err != nil || len(left) > 0 {
		t.Errorf("private directories left: %v %v", left, err)
	}
}

func TestOutcomesTellWhy(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	row := h.run("a.sh", "exit 3", `{}`)
	if row.Status != attune.StatusFailed || *row.ExitCode != 3 || row.Error.Kind != attune.FailureExit {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	row = h.run("b.sh", "kill -KILL $$", `{}`)
	if row.Status != attune.StatusFailed || *row.Signal != "SIGKILL" || row.Error.Kind != attune.FailureSignal {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	id := h.submit("c.sh", "sleep 60", `{}`, func(a *attune.Action) { a.TimeoutSeconds = 0.2 })
	h.place()
	if row = h.until(id, attune.Status.Final); row.Status != attune.StatusTimeout || row.Error.Kind != attune.FailureTimeout {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	row = h.run("d.py", "def run():\n    return {1, 2}\n", `{}`)
	if row.Status != attune.StatusFailed || row.Error.Kind != attune.FailureResultInvalid {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
}

func TestResultIsHeldAgainstTheOutputSchema(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	for script, want := range map[string]attune.Status{
		`echo '{"n": 1}'`: attune.StatusCompleted, `echo '{"n": "one"}'`: attune.StatusFailed, `true`: attune.StatusFailed,
	} {
		id := h.submit("a.sh", script, `{}`, func(a *attune.Action) {
			a.Output = json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`)
		})
		h.place()
		row := h.until(id, attune.Status.Final)
		if row.Status != want || want == attune.StatusFailed && row.Error.Kind != attune.FailureResultInvalid {
			t.Errorf("%s: %s %+v", script, row.Status, row.Error)
		}
	}
}

func TestRepeatedMessagesRunOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	id := h.submit("a.sh", `echo once >> "$PARAM_FILE"; sleep 0.3`, `{"file":"`+filepath.Join(h.dir, "count")+`"}`, nil)
	h.place()
	repeat := func() {
		row, err := h.store.Read().Execution(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		err = h.broker.Publish(context.Background(), broker.Scheduled(broker.ExecutionScheduled{
			ExecutionID: id, Attempt: 1, WorkerID: h.worker.ID(), Incarnation: 1,
		}))
		if err != nil {
			t.Fatalf("%v in %s", err, row.Status)
		}
	}
	for range 5 {
		repeat()
	}
	h.untilIs(id, attune.StatusCompleted)
	repeat() // late
	h.run("b.sh", "true", `{}`)
	if text, err := os.ReadFile(filepath.Join(h.dir, "count")); err != nil || string(text) != "once\n" {
		t.Errorf("%q %v", text, err)
	}
}

func TestLostMessagesAreMadeUpForByThePoll(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	// Another service on the same rows, whose broker reaches nobody: every message of it is lost.
	deaf := execution.New(execution.Config{Store: h.store, Broker: lossy{}, Logger: slog.New(slog.DiscardHandler)})
	id := h.submit("a.sh", "sleep 60", `{}`, nil)
	if round, err := deaf.Schedule(context.Background(), nil); err != nil || round.Placed != 1 {
		t.Fatal(round, err)
	}
	h.untilIs(id, attune.StatusRunning)
	if _, err := deaf.Cancel(context.Background(), id, "ada"); err != nil {
		t.Fatal(err)
	}
	if row := h.until(id, attune.Status.Final); row.Status != attune.StatusCancelled || row.Error.Message != "cancelled by ada" {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
}

// lossy is the fault that is injected: a broker that takes every message and delivers none.
type lossy struct{}

func (lossy) Publish(context.Context, broker.Message) error { return nil }
func (lossy) Consume(ctx context.Context, _ broker.Subscription, _ broker.Handler) error {
	<-ctx.Done()
	return nil
}

func TestCancelEndsTheProcessAndFreesTheSlot(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Slots = 1 }).start()
	id := h.submit("a.sh", `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`, `{}`, nil)
	h.place()
	storetest.Eventually(t, func() bool { return strings.Contains(h.tryRead("execution_1/stdout.log"), "ready") })
	if _, err := h.Cancel(context.Background(), id, "ada"); err != nil {
		t.Fatal(err)
	}
	row := h.until(id, attune.Status.Final)
	if row.Status != attune.StatusCancelled || *row.ExitCode != 0 || row.Error.Kind != attune.FailureCancelled {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	if row := h.run("b.sh", "true", `{}`); row.Status != attune.StatusCompleted {
		t.Errorf("the slot is not free: %+v", row.Execution)
	}
}

func (h *host) tryRead(name string) string {
	text, err := os.ReadFile(filepath.Join(h.dir, "artifacts", "w", name))
	if err != nil {
		return ""
	}
	return string(text)
}

func TestShutdownWaitsThenAbandons(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.ShutdownTimeout = 300 * time.Millisecond }).start()
	short := h.submit("a.sh", `echo ready; sleep 0.1`, `{}`, nil)
	long := h.submit("b.sh", `echo ready; sleep 60`, `{}`, nil)
	h.place()
	storetest.Eventually(t, func() bool {
		return h.tryRead("execution_1/stdout.log") != "" && h.tryRead("execution_2/stdout.log") != ""
	})
	if err := h.end(); err != nil {
		t.Error(err)
	}
	h.untilIs(short, attune.StatusCompleted)
	if row := h.until(long, attune.Status.Final); row.Status != attune.StatusAbandoned || row.Error.Kind != attune.FailureWorkerLost {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	row, err := h.store.Read().WorkerByName(context.Background(), "w")
	if err != nil || row.Status != attune.WorkerInactive {
		t.Errorf("%s %v", row.Status, err)
	}
}

func TestRestartIsTheSameRowAndANewIncarnation(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	id := h.worker.ID()
	if err := h.end(); err != nil {
		t.Fatal(err)
	}
	h.start()
	row, err := h.store.Read().WorkerByName(context.Background(), "w")
	if err != nil || row.ID != id || row.Incarnation != 2 || row.Status != attune.WorkerActive || len(row.Runtimes) != 2 {
		t.Errorf("%+v %v", row, err)
	}
}

func TestSecondWorkerOfTheNameIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	processes, err := process.New(process.Config{RecordsDir: h.cfg.Home.Processes()})
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(h.cfg, worker.Deps{
		Store: h.store, Broker: h.broker, Executions: h.Service, Processes: processes,
		Runtimes: runtime.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err := w.Run(context.Background()); attune.ErrorCode(err) != attune.CodeConflict || !strings.Contains(err.Error(), "worker.name") {
		t.Errorf("%v", err)
	}
}

func TestDrainEndsWhenNothingRuns(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	id := h.submit("a.sh", `echo ready; sleep 0.3`, `{}`, nil)
	h.place()
	h.untilIs(id, attune.StatusRunning)
	storetest.Write(t, h.store, func(ctx context.Context, q *store.Queries) error {
		_, err := q.SetWorkerStatus(ctx, h.worker.ID(), attune.WorkerDraining, attune.WorkerActive)
		return err
	})
	late := h.submit("b.sh", "true", `{}`, nil)
	if n := h.place(); n != 0 {
		t.Errorf("placed %d on a draining worker", n)
	}
	if err := h.wait(); !errors.Is(err, worker.ErrDrained) {
		t.Errorf("%v", err)
	}
	h.untilIs(id, attune.StatusCompleted)
	h.untilIs(late, attune.StatusRequested)
}

func TestSupersededWorkerEndsItsProcesses(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	id := h.submit("a.sh", `echo ready; sleep 60`, `{}`, nil)
	h.place()
	h.untilIs(id, attune.StatusRunning)
	storetest.Worker(t, h.store, "w", 4) // as another process that registers would
	if err := h.wait(); !errors.Is(err, worker.ErrSuperseded) {
		t.Errorf("%v", err)
	}
}

// TestHeartbeatAbandonsWhatDoesNotRunHere injects a claim whose answer was lost: the row says running, the worker knows
// nothing of it. The worker's own poll may come between and run it; then the fault has not fired, and is tried again.
func TestHeartbeatAbandonsWhatDoesNotRunHere(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	deaf := execution.New(execution.Config{Store: h.store, Broker: lossy{}, Logger: slog.New(slog.DiscardHandler)})
	for range 5 {
		id := h.submit("a.sh", "true", `{}`, nil)
		if _, err := deaf.Schedule(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		row, err := h.store.Read().Execution(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deaf.Claim(context.Background(), row.Fence()); attune.ErrorCode(err) == attune.CodeStale {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if row = h.until(id, attune.Status.Final); row.Status == attune.StatusAbandoned {
			return
		}
	}
	t.Error("the fault never fired: the worker knew of every claim")
}

func TestHeartbeatSurvivesAGap(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	ctx := context.Background()
	storetest.Write(t, h.store, func(ctx context.Context, q *store.Queries) error {
		if err := q.AgeWorker(ctx, h.worker.ID(), 3600); err != nil {
			return err
		}
		_, err := q.MarkWorkerLost(ctx, h.worker.ID(), 1, true)
		return err
	})
	storetest.Eventually(t, func() bool {
		row, err := h.store.Read().Worker(ctx, h.worker.ID())
		return err == nil && row.Status == attune.WorkerActive && !row.Lapsed && row.Incarnation == 1
	})
	if row := h.run("a.sh", "true", `{}`); row.Status != attune.StatusCompleted {
		t.Errorf("%+v", row.Execution)
	}
}

func TestArtifactsThatCannotBeWrittenCostNoResult(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	// A file where the directory should be: nothing can be kept of any execution.
	if err := os.WriteFile(filepath.Join(h.dir, "artifacts"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	row := h.run("a.py", "def run():\n    print('x' * 100)\n    return {'ok': True}\n", `{}`)
	if row.Status != attune.StatusCompleted || string(row.Result) != `{"ok":true}` {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	if row.Stdout.Bytes != 101 || row.Stdout.DroppedBytes != 101 {
		t.Errorf("what was lost is not counted: %+v", row.Stdout)
	}
}

func TestOutputIsBoundedAndResultReadFromTheTrueEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.MaxOutputBytes = 64 << 10 }).start()
	row := h.run("a.sh", `head -c 5000000 /dev/zero; echo; head -c 300000 /dev/zero | tr '\0' ' '; echo '{"end":true}'`, `{}`)
	if row.Status != attune.StatusCompleted || row.Stdout.Bytes != 5300014 || row.Stdout.DroppedBytes == 0 {
		t.Errorf("%+v %+v", row.Execution, row.Error)
	}
	log := h.read("execution_1/stdout.log")
	if len(log) > 64<<10 || !strings.Contains(log, "bytes are missing here") || !strings.HasSuffix(log, "{\"end\":true}\n") {
		t.Errorf("%d bytes kept, ending %q", len(log), log[max(0, len(log)-30):])
	}
	if string(row.Result) != `{"end":true}` {
		t.Errorf("result %s", row.Result)
	}
}

func TestTraceNamesTheSteps(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Trace = true }).start()
	h.run("a.sh", "true", `{}`)
	var trace struct {
		Steps []struct {
			Name       string `json:"name"`
			DurationUS int64  `json:"duration_us"`
		} `json:"steps"`
	}
	if err := json.Unmarshal([]byte(h.read("execution_1/trace.json")), &trace); err != nil || len(trace.Steps) < 4 {
		t.Errorf("%+v %v", trace, err)
	}
}

func TestFilesLeftBecomeArtifacts(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	row := h.run("a.sh", `echo report > "$ATTUNE_ARTIFACTS_DIR/report.txt"; ln -s /etc/passwd "$ATTUNE_ARTIFACTS_DIR/link"`, `{}`)
	found, err := h.store.Read().Artifacts(context.Background(), row.ID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range found {
		names = append(names, a.Name)
	}
	if got := strings.Join(names, " "); got != "files/report.txt stderr.log stdout.log" {
		t.Errorf("artifacts: %s", got)
	}
}

func TestExclusiveWorkerLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Exclusive = true }).start()
	if err := h.end(); err != nil {
		t.Error(err)
	}
	if _, err := h.store.Read().WorkerByName(context.Background(), "w"); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Errorf("its row is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "workers", "w")); !os.IsNotExist(err) {
		t.Errorf("its home is still there: %v", err)
	}
}

func TestOldArtifactsAreRemoved(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Retention = 24 * time.Hour }).start()
	old, young := h.run("a.sh", "true", `{}`), h.run("b.sh", "true", `{}`)
	dir := func(id int64) string {
		return filepath.Join(h.dir, "artifacts", "w", "execution_"+string('0'+rune(id)))
	}
	past := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(dir(old.ID), past, past); err != nil {
		t.Fatal(err)
	}
	if err := h.end(); err != nil {
		t.Fatal(err)
	}
	h.start() // the chore runs at once
	storetest.Eventually(t, func() bool { _, err := os.Stat(dir(old.ID)); return os.IsNotExist(err) })
	if _, err := os.Stat(dir(young.ID)); err != nil {
		t.Error(err)
	}
}
