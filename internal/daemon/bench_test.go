package daemon_test

import (
	"context"
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/daemon"
)

// BenchmarkExecutions runs core.noop through the whole path, ten at a time, and the bare command as often, and reports
// how many of the one there are for each of the other.
func BenchmarkExecutions(b *testing.B) {
	const lines = 10
	cfg, err := config.Load(config.Source{DataDir: b.TempDir(), HostName: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	parts, err := daemon.Open(b.Context(), cfg, "test", log)
	if err != nil {
		b.Fatal(err)
	}
	session, err := parts.Session(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	c := client.New(client.Config{Transport: client.InProcess(session.Handler)})
	b.ResetTimer()
	elapsed := repeat(b, lines, func(ctx context.Context) error {
		e, err := c.Submit(ctx, client.Submission{Action: "core.noop"})
		if err != nil {
			return err
		}
		e, err = c.WaitExecution(ctx, e.ID)
		if err == nil && e.Status != attune.StatusCompleted {
			b.Errorf("execution %d: %s %v", e.ID, e.Status, e.Error)
		}
		return err
	})
	b.StopTimer()
	bare := repeat(b, lines, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "bash", "-e", "../../packs/core/actions/noop.sh")
		cmd.Env = []string{"PARAM_EXIT_CODE=0"}
		return cmd.Run()
	})
	b.ReportMetric(bare.Seconds()/elapsed.Seconds(), "executions/bare")
	if err := session.Close(); err != nil {
		b.Error(err)
	}
	if err := parts.Close(); err != nil {
		b.Error(err)
	}
}

func repeat(b *testing.B, lines int, do func(context.Context) error) time.Duration {
	b.Helper()
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(lines)
	begun := time.Now()
	for range b.N {
		group.Go(func() error { return do(ctx) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}
