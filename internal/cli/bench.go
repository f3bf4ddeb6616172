package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/pack"
)

// benchFlags are the flags of `attune bench`.
type benchFlags struct {
	count       int
	concurrency int
	rate        float64
}

// benchReport is what -o json prints.
type benchReport struct {
	ExecutionsPerSecond float64  `json:"executions_per_second"`
	BarePerSecond       *float64 `json:"bare_per_second"` // fork and exec of the same command; null if its files are not here
	Ratio               *float64 `json:"ratio"`           // executions to bare
	P50                 float64  `json:"p50_ms"`          // from submit to visible result
	P95                 float64  `json:"p95_ms"`
	P99                 float64  `json:"p99_ms"`
	Completed           int      `json:"completed"`
	Failed              int      `json:"failed"`
}

func (a *app) benchCommand() *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use: "bench ACTION [key=value …]", Short: "Measure how fast an action runs here, against its bare command",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("name an action: attune bench core.noop --count 200 --concurrency 10")
			}
			return nil
		},
		ValidArgsFunction: a.completeAction,
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.count < 1 || flags.concurrency < 1 || flags.rate < 0 {
				return usage("--count and --concurrency must be at least 1, --rate at least 0")
			}
			if cmd.Flags().Changed("concurrency") && cmd.Flags().Changed("rate") {
				return usage("--concurrency and --rate are two ways to set the pace: give one of them")
			}
			return a.bench(cmd.Context(), args[0], args[1:], flags)
		},
	}
	set := cmd.Flags()
	set.IntVar(&flags.count, "count", 100, "how many executions")
	set.IntVar(&flags.concurrency, "concurrency", 10, "how many at once")
	set.Float64Var(&flags.rate, "rate", 0, "submit so many a second, whether or not the ones before have ended")
	return cmd
}

func (a *app) bench(ctx context.Context, target string, assignments []string, flags benchFlags) (err error) {
	ctx, stop := untilSignal(ctx)
	defer stop()
	ref, err := attune.ParseRef(target)
	if err != nil {
		return err
	}
	c, err := a.connect(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	submission := client.Submission{Action: ref}
	if submission.Parameters, err = a.parameters(ctx, c.Client, submission, assignments, ""); err != nil {
		return err
	}
	action, err := c.Action(ctx, ref)
	if err != nil {
		return err
	}
	report, err := measure(ctx, c.Client, submission, flags)
	if err != nil {
		return err
	}
	if err := compare(ctx, c, action, submission.Parameters, flags, &report); err != nil {
		return err
	}
	return a.show(report, func(w io.Writer) error { return benchText(w, report) })
}

// measure submits executions, in as many lines as --concurrency says or at --rate, and times each to its end.
func measure(ctx context.Context, c *client.Client, s client.Submission, flags benchFlags) (benchReport, error) {
	var mu sync.Mutex
	var report benchReport
	var times []time.Duration
	one := func(ctx context.Context) error {
		begun := time.Now()
		e, err := c.Submit(ctx, s)
		if err != nil {
			return err
		}
		if e, err = c.WaitExecution(ctx, e.ID); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Since(begun))
		if e.Status == attune.StatusCompleted {
			report.Completed++
		} else {
			report.Failed++
		}
		return nil
	}
	begun := time.Now()
	if err := pace(ctx, flags, one); err != nil {
		return report, err
	}
	report.ExecutionsPerSecond = float64(flags.count) / time.Since(begun).Seconds()
	slices.Sort(times)
	report.P50, report.P95, report.P99 = percentile(times, 50), percentile(times, 95), percentile(times, 99)
	return report, nil
}

// pace calls do --count times.
func pace(ctx context.Context, flags benchFlags, do func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	if flags.rate == 0 {
		group.SetLimit(flags.concurrency)
		for range flags.count {
			if ctx.Err() != nil {
				break
			}
			group.Go(func() error { return do(ctx) })
		}
		return group.Wait()
	}
	ticker := time.NewTicker(max(1, time.Duration(float64(time.Second)/flags.rate)))
	defer ticker.Stop()
	for range flags.count {
		select {
		case <-ctx.Done():
			return group.Wait()
		case <-ticker.C:
		}
		group.Go(func() error { return do(ctx) })
	}
	return group.Wait()
}

// percentile returns the nearest-rank percentile, in milliseconds.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return float64(sorted[rank-1].Microseconds()) / 1000
}

// compare runs the action's bare command as often and as many at once: no row, no message, no log, only fork and exec.
func compare(
	ctx context.Context, c *connection, action attune.Action, parameters json.RawMessage, flags benchFlags, report *benchReport,
) error {
	packDir := filepath.Join(c.dataDir, "packs", action.Digest)
	file := filepath.Join(packDir, filepath.FromSlash(action.EntryPoint))
	if c.dataDir == "" || !exists(file) {
		return nil // the worker is elsewhere, and so are the files
	}
	interpreter, err := interpreterOf(ctx, c, action.Runtime)
	if err != nil {
		return err
	}
	env, err := bareEnvironment(action, parameters, packDir)
	if err != nil {
		return err
	}
	args := []string{file}
	if action.Runtime == attune.RuntimeShell {
		args = []string{"-e", file}
	}
	begun := time.Now()
	err = pace(ctx, benchFlags{count: flags.count, concurrency: flags.concurrency}, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, interpreter, args...)
		cmd.Env = env
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("bare %s: %w", interpreter, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	bare := float64(flags.count) / time.Since(begun).Seconds()
	ratio := report.ExecutionsPerSecond / bare
	report.BarePerSecond, report.Ratio = &bare, &ratio
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// interpreterOf returns the file that the workers run a runtime's actions with, so that both sides run the same.
func interpreterOf(ctx context.Context, c *connection, runtime string) (string, error) {
	workers, err := c.Workers(ctx)
	if err != nil {
		return "", err
	}
	for _, w := range workers {
		for _, r := range w.Runtimes {
			if r.Name == runtime && w.Status == attune.WorkerActive {
				return r.Path, nil
			}
		}
	}
	return "", attune.Errorf(attune.CodeNotFound, "no worker offers the runtime %s any more", runtime)
}

func bareEnvironment(action attune.Action, given json.RawMessage, packDir string) ([]string, error) {
	merged, err := pack.Parameters(action.Parameters, given, 0)
	if err != nil {
		return nil, err
	}
	var parameters map[string]json.RawMessage
	if err := json.Unmarshal(merged, &parameters); err != nil {
		return nil, err
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "ATTUNE_PACK_DIR=" + packDir}
	for name, value := range parameters {
		text := string(value)
		var s string
		if json.Unmarshal(value, &s) == nil {
			text = s
		}
		env = append(env, "PARAM_"+strings.ToUpper(name)+"="+text)
	}
	return env, nil
}

func benchText(w io.Writer, r benchReport) error {
	bare, ratio := "", ""
	if r.BarePerSecond != nil {
		bare, ratio = fmt.Sprintf("%.1f", *r.BarePerSecond), fmt.Sprintf("%.2f", *r.Ratio)
	}
	return fields(w,
		"executions per second", fmt.Sprintf("%.1f", r.ExecutionsPerSecond), "bare per second", bare, "ratio", ratio,
		"p50", fmt.Sprintf("%.1f ms", r.P50), "p95", fmt.Sprintf("%.1f ms", r.P95), "p99", fmt.Sprintf("%.1f ms", r.P99),
		"completed", fmt.Sprint(r.Completed), "failed", fmt.Sprint(r.Failed))
}
