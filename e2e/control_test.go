package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker/amqp"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/testserver"
	"github.com/attune-automation/attune/internal/worker"
)

// idleWorkerDir is the variable that makes this test's program a worker whose runtime does nothing: what is left is
// the control plane. It names the worker's data directory.
const idleWorkerDir = "ATTUNE_E2E_IDLE_WORKER"

// idleSlots is what lets --concurrency 50 be 50 at once.
const idleSlots = 64

// nothing is a runtime that completes whatever it gets, at once.
type nothing struct{}

// Name implements runtime.Runtime.
func (nothing) Name() string { return "nothing" }

// SetUp implements runtime.Runtime.
func (nothing) SetUp(context.Context) error { return nil }

// Capabilities implements runtime.Runtime: it takes the place of the shell.
func (nothing) Capabilities() []attune.Runtime { return []attune.Runtime{{Name: attune.RuntimeShell}} }

// CanExecute implements runtime.Runtime.
func (nothing) CanExecute(*attune.Action) bool { return true }

// Validate implements runtime.Runtime.
func (nothing) Validate(context.Context, *runtime.Task) error { return nil }

// Execute implements runtime.Runtime.
func (nothing) Execute(context.Context, *runtime.Task) (runtime.Result, error) {
	code := 0
	return runtime.Result{ExitCode: &code}, nil
}

// CleanUp implements runtime.Runtime.
func (nothing) CleanUp(context.Context) error { return nil }

// workIdly is the program of that worker. It says so on stderr when it is ready, and ends with SIGTERM.
func workIdly(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := store.Open(ctx, store.Config{URL: os.Getenv("ATTUNE__DATABASE__URL"), MaxConnections: 10, Logger: log})
	if err != nil {
		return err
	}
	messages := amqp.New(amqp.Config{
		URL: os.Getenv("ATTUNE__MESSAGE_QUEUE__URL"), Exchange: "", Logger: log, PublishTimeout: 2 * time.Second,
	})
	home := worker.HomeOf(dir, "idle")
	processes, err := process.New(process.Config{Name: "idle", RecordsDir: home.Processes(), Logger: log})
	if err != nil {
		return err
	}
	artifacts, err := artifact.New(filepath.Join(dir, "artifacts"), "idle")
	if err != nil {
		return err
	}
	w := worker.New(worker.Config{
		Identity: worker.Identity{Name: "idle", Type: attune.WorkerTypeLocal, Host: "here", Slots: idleSlots},
		Limits: worker.Limits{
			TaskTimeout: time.Minute, KillGrace: time.Second, ShutdownTimeout: time.Second, MaxOutputBytes: 1 << 20, MaxResultBytes: 1 << 20,
		},
		Heartbeat: 30 * time.Second, Home: home, Path: local.DefaultPath, Leased: true,
	}, worker.Deps{
		Store: db, Broker: messages, Executions: execution.New(execution.Config{Store: db, Broker: messages, Logger: log}),
		Processes: processes, Artifacts: artifacts, Runtimes: runtime.NewRegistry(nothing{}), Logger: log,
	})
	carrying, drop := context.WithCancelCause(context.Background())
	var carrier, group errgroup.Group
	carrier.Go(func() error { return messages.Run(carrying) })
	group.Go(func() error { return w.Run(ctx) })
	<-w.Registered()
	fmt.Fprintln(os.Stderr, `{"msg":"ready"}`)
	err = group.Wait()
	drop(nil)
	return errors.Join(err, carrier.Wait(), db.Close())
}

// benched is what `attune bench -o json` prints.
type benched struct {
	PerSecond float64  `json:"executions_per_second"`
	Ratio     *float64 `json:"ratio"`
	P50       float64  `json:"p50_ms"`
	P99       float64  `json:"p99_ms"`
	Completed int      `json:"completed"`
}

// ownServers starts a PostgreSQL and a RabbitMQ for a benchmark, and returns attune as users have it, with an
// environment that leads to them.
func ownServers(b *testing.B) (path string, env []string, database string) {
	b.Helper()
	postgres, err := testserver.StartPostgres(false)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			b.Error(err)
		}
	})
	rabbitmq, err := testserver.StartRabbitMQ()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := rabbitmq.Stop(); err != nil {
			b.Error(err)
		}
	})
	env = append(benchEnv(b), "ATTUNE__DATABASE__URL="+postgres.URL, "ATTUNE__MESSAGE_QUEUE__URL="+rabbitmq.URL)
	return plain(b), env, postgres.URL
}

// begin starts a program and returns when it is ready.
func begin(b *testing.B, path string, env []string, args ...string) {
	b.Helper()
	l := newLog()
	cmd := commandOf(b, path, env, args...)
	cmd.Stderr = l
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	<-l.ready
}

func bench(b *testing.B, path string, env []string, args ...string) (report benched) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), path, append([]string{"bench", "-o", "json"}, args...)...)
	cmd.Env, cmd.Stderr = env, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &report); err != nil {
		b.Fatal(err)
	}
	return report
}

// BenchmarkControlPlane is everything but the running itself: submissions over HTTP, placing, messages, claims, ends,
// and the waiting for them, of one server and one worker whose runtime does nothing.
func BenchmarkControlPlane(b *testing.B) {
	path, env, _ := ownServers(b)
	own, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	begin(b, path, env, "server")
	begin(b, own, append(env, idleWorkerDir+"="+b.TempDir()))
	bench(b, path, env, "core.noop", "--count", "500", "--concurrency", "50") // everything is warm
	for b.Loop() {
		most := bench(b, path, env, "core.noop", "--count", "3000", "--concurrency", "50")
		b.ReportMetric(most.PerSecond, "executions/s")
		steady := bench(b, path, env, "core.noop", "--count", "500", "--rate", "50")
		b.ReportMetric(steady.P50, "p50-ms-at-50/s")
		b.ReportMetric(steady.P99, "p99-ms-at-50/s")
	}
}
