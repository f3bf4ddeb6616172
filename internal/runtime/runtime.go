package runtime

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/attune-automation/attune"
)

// Runtime runs actions of one kind, or of several. SetUp comes first and CleanUp last; in between all methods may be
// called from several goroutines at once.
type Runtime interface {
	// Name is what logs call it.
	Name() string
	// SetUp finds what the runtime needs (interpreters, a container engine). Finding none is no error: the runtime
	// then has no capabilities. It may be called again.
	SetUp(ctx context.Context) error
	// Capabilities tells what was found, by the names of runner_type.
	Capabilities() []attune.Runtime
	// CanExecute tells whether the action could be run here now.
	CanExecute(a *attune.Action) bool
	// Validate checks a task without running it. What is wrong with the action is a *SetupError.
	Validate(ctx context.Context, t *Task) error
	// Execute runs a task to its end: when it returns, no process of the action is left. The end of ctx ends the
	// action, with SIGTERM, the task's grace, and SIGKILL. The error is one of ours; that the action could not be
	// started, failed, or was stopped is in the Result.
	Execute(ctx context.Context, t *Task) (Result, error)
	// CleanUp gives back what SetUp took.
	CleanUp(ctx context.Context) error
}

// Task is everything that one attempt needs. The worker owns and creates the directories, and removes them.
type Task struct {
	ID             string // unique among what runs on this host: "42-1"
	Action         *attune.Action
	Parameters     json.RawMessage   // one JSON object: the action's defaults and the execution's values, merged
	Dirs           Dirs              // where it runs
	Env            map[string]string // PATH, LANG, ATTUNE_* and what the action and the execution add
	Timeout        time.Duration     // 0: none
	Grace          time.Duration     // between SIGTERM and SIGKILL
	Hurry          <-chan struct{}   // once closed, ends the grace; nil for never
	Stdout         io.Writer         // bounded by the worker; must not fail
	Stderr         io.Writer
	MaxResultBytes int64
	Trace          func(step string) // nil, or told of each step as it begins

	// CheckResult returns an error if a result is not what the action's output schema promises; null stands for none.
	// nil if the action has no such schema.
	CheckResult func(result json.RawMessage) error
}

// Dirs are the directories of a task.
type Dirs struct {
	Pack    string // the unpacked pack, read only: the action's entry point is below it
	Private string // 0700, holds the result file and what a runtime hands over; the action may write here
	Work    string // the working directory
	Home    string // HOME
	Tmp     string // TMPDIR
}

// Stop tells whether we ended a task: whether a signal of ours was sent before its leader had ended.
type Stop string

// The reasons for which a task is stopped.
const (
	NotStopped       Stop = ""
	StoppedTimeout   Stop = "timeout"
	StoppedCancelled Stop = "cancelled"
)

// Result is how a task ended.
type Result struct {
	ExitCode  *int    // nil if it never ran or a signal ended it
	Signal    *string // SIGKILL
	Stopped   Stop
	Value     json.RawMessage // compact JSON, nil if there is none
	Failure   *attune.Failure // setup, limit, oom, result_invalid or result_too_large; exits and signals speak for themselves
	Resources attune.Resources
}

// Completed tells whether the action ended by itself, with exit status 0 and with the result that it promised.
func (r Result) Completed() bool {
	return r.Failure == nil && r.Stopped == NotStopped && r.ExitCode != nil && *r.ExitCode == 0
}

// Step tells the task's trace hook that a step begins.
func (t *Task) Step(step string) {
	if t.Trace != nil {
		t.Trace(step)
	}
}
