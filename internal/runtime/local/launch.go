package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
)

// invocation is what a language makes of a task.
type invocation struct {
	interpreter string
	args        []string
	env         *runtime.Environment
	stdin       []byte
	value       string // where a function's value will be; "" if there are no functions
}

// run runs an invocation to its end and reads the result. That of an action that failed is kept if there is one, but
// is not missed if there is none: the failure it ended with is the one to tell.
func (h *host) run(ctx context.Context, t *runtime.Task, in invocation) (runtime.Result, error) {
	env, err := in.env.List()
	if err != nil {
		return runtime.SetupFailure(err)
	}
	for _, note := range in.env.Notes() {
		fmt.Fprintln(t.Stderr, note)
	}
	if err := h.noteLacking(t); err != nil {
		return runtime.Result{}, err
	}
	if err := t.HandOver(); err != nil {
		return runtime.Result{}, err
	}
	t.Step("run")
	tail := runtime.NewTail(t.MaxResultBytes)
	exit, err := h.processes.Run(ctx, process.Command{
		User: (*process.User)(t.Confine.User), Sandbox: h.sandbox(t),
		ID: t.ID, Path: in.interpreter, Args: in.args, Env: env, Dir: t.Dirs.Work, Stdin: in.stdin,
		Stdout: tail.Tee(t.Stdout), Stderr: t.Stderr, Timeout: t.Timeout, Grace: t.Grace, Hurry: t.Hurry,
		Limits: process.Limits(t.Limits), Check: t.CheckDisk,
	})
	// What fails after the end, the removal of a record or a control group, must not cost the execution its outcome.
	if err != nil && !exit.Waited {
		return notRun(ctx, t, err)
	}
	h.report(ctx, t, exit, err)
	t.Step("result")
	value, err := returned(in.value, t.MaxResultBytes)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	result := resultOf(exit)
	var failure *attune.Failure
	result.Value, failure = runtime.ReadResult(t, value, tail)
	if result.Completed() {
		result.Failure = failure
	}
	if exceeded := exceeded(t.Limits, exit); exceeded != nil {
		result.Failure = exceeded
	}
	return result, nil
}

// notRun tells apart what the action's description is to blame for, a cancel that came before the start, and errors of
// our own.
func notRun(ctx context.Context, t *runtime.Task, err error) (runtime.Result, error) {
	var start *process.StartError
	switch {
	case errors.Is(err, syscall.E2BIG):
		err = runtime.Setupf("the parameters and env of %s are too large together for the environment of a process: "+
			"make them smaller, or write it in python, which takes parameters by parameter_delivery stdin", t.Action.Ref)
	case errors.As(err, &start):
		err = runtime.Setupf("%s can't be started: %v", t.Action.Ref, err)
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return runtime.Result{Stopped: runtime.StoppedCancelled}, nil
	default:
		return runtime.Result{}, fmt.Errorf("run %s: %w", t.ID, err)
	}
	return runtime.SetupFailure(err)
}

// report logs what an operator should see: an execution whose processes did not end as they ought to.
func (h *host) report(ctx context.Context, t *runtime.Task, exit process.Exit, err error) {
	if err != nil {
		h.logger.ErrorContext(ctx, "what kept track of a task is not cleared away", "task", t.ID, "error", err)
	}
	if len(exit.Survivors) > 0 {
		h.logger.ErrorContext(ctx, "processes outlive SIGKILL, the next start tries again",
			"task", t.ID, "processes", strings.Join(exit.Survivors, ", "))
	}
	if exit.OutputHeld {
		h.logger.WarnContext(ctx, "a process outside of the task held its output, which was closed", "task", t.ID)
	}
}

func resultOf(exit process.Exit) runtime.Result {
	result := runtime.Result{
		Stopped:   runtime.Stop(exit.Stopped),
		Resources: attune.Resources{CPUMillis: exit.CPU.Milliseconds(), MaxRSSBytes: exit.MaxRSS},
		Processes: &attune.Processes{Killed: exit.Killed, Survivors: append([]string{}, exit.Survivors...)},
	}
	if exit.Ended != "" {
		result.Processes.Signal = &exit.Ended
	}
	if exit.Signal != "" {
		result.Signal = &exit.Signal
	} else {
		result.ExitCode = &exit.Code
	}
	return result
}

// sandbox is what the task sees of the host: also its pack, and what this runtime starts it with.
func (h *host) sandbox(t *runtime.Task) *process.Sandbox {
	box := t.Confine.Sandbox
	if box == nil {
		return nil
	}
	return &process.Sandbox{
		Hidden: box.Hidden, Readable: append([]string{t.Dirs.Pack, h.support}, box.Readable...), Writable: box.Writable, Network: box.Network,
	}
}

// probeTimeout is how long an interpreter may take to say who it is.
const probeTimeout = 10 * time.Second

// probeEnvironment is the worker's own: version managers are told by it what to start. Of ours it has nothing.
func probeEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "ATTUNE") })
}

// newProber returns a prober that runs commands under the supervisor.
func newProber(processes *process.Supervisor) prober {
	var count atomic.Int64
	return func(ctx context.Context, command string, args []string) (string, error) {
		var stdout, stderr bytes.Buffer
		exit, err := processes.Run(ctx, process.Command{
			ID: fmt.Sprintf("probe-%d", count.Add(1)), Path: command, Args: args, Env: probeEnvironment(), Dir: "/",
			Stdout: &stdout, Stderr: &stderr, Timeout: probeTimeout,
		})
		if err == nil && (exit.Code != 0 || exit.Signal != "") {
			err = fmt.Errorf("exit status %d %s: %.200s", exit.Code, exit.Signal, stderr.String())
		}
		return stdout.String(), err
	}
}
