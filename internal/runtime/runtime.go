package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	Confine        Confinement
	Limits         attune.Limits   // what they can't keep, runtimes say in Stderr
	CheckDisk      func() error    // called now and then; its error says that Limits.Disk is exceeded. nil: no such limit
	Hurry          <-chan struct{} // once closed, ends the grace; nil for never
	Stdout         io.Writer       // bounded by the worker; must not fail
	Stderr         io.Writer
	MaxResultBytes int64
	Trace          func(step string) // nil, or told of each step as it begins

	// CheckResult returns an error if a result is not what the action's output schema promises; null stands for none.
	// nil if the action has no such schema.
	CheckResult func(result json.RawMessage) error
}

// Confinement is how a task is kept from its host; the zero value is level process.
type Confinement struct {
	User    *User    // whom it runs as; nil: the worker's own
	Sandbox *Sandbox // nil: none
}

// User is a user that owns the task's directories.
type User struct{ UID, GID uint32 }

// Sandbox is what a task in one does not see, but for its directories and what its runtime needs.
type Sandbox struct {
	Hidden   []string // directories and files
	Readable []string // of what is hidden, what is not
	Writable []string
	Network  bool // the host's; else none
}

// HandOver gives what is in the task's directories to the user that it runs as. It comes after the last file that is put
// there, and before anything of the task runs.
func (t *Task) HandOver() error {
	user := t.Confine.User
	if user == nil {
		return nil
	}
	for _, dir := range []string{t.Dirs.Private, t.Dirs.Work, t.Dirs.Home, t.Dirs.Tmp} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(user.UID), int(user.GID))
		})
		if err != nil {
			return fmt.Errorf("hand the directories of %s over: %w", t.ID, err)
		}
	}
	return nil
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
	StoppedExceeded  Stop = "exceeded" // it took more than its limits let it; the Failure names which
)

// Result is how a task ended.
type Result struct {
	ExitCode  *int    // nil if it never ran or a signal ended it
	Signal    *string // SIGKILL
	Stopped   Stop
	Value     json.RawMessage // compact JSON, nil if there is none
	Failure   *attune.Failure // setup, limit, oom, result_invalid or result_too_large; exits and signals speak for themselves
	Resources attune.Resources
	Processes *attune.Processes // nil if none ran
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
