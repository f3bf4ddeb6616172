package attune

import (
	"encoding/json"
	"time"
)

// Execution is one request for an action to be run, as users see it.
type Execution struct {
	ID          int64           `json:"id"`
	Parent      *int64          `json:"parent"` // the execution that has started it; null if none has
	Action      Ref             `json:"action"`
	Status      Status          `json:"status"`
	Attempt     int             `json:"attempt"` // from 1: the present or latest one
	MaxAttempts int             `json:"max_attempts"`
	Parameters  json.RawMessage `json:"parameters"`
	Worker      *string         `json:"worker"` // name of the present or latest one
	ExitCode    *int            `json:"exit_code"`
	Signal      *string         `json:"signal"` // SIGKILL, if a signal ended the leader
	Result      json.RawMessage `json:"result"`
	Error       *Failure        `json:"error"`
	Stdout      Output          `json:"stdout"`
	Stderr      Output          `json:"stderr"`
	Resources   Resources       `json:"resources"`
	Processes   *Processes      `json:"processes"` // of the attempt; null before its end, or if nobody saw it
	WaitingFor  *Waiting        `json:"waiting_for"`
	CreatedAt   time.Time       `json:"created_at"`
	ScheduledAt *time.Time      `json:"scheduled_at"`
	StartedAt   *time.Time      `json:"started_at"`
	FinishedAt  *time.Time      `json:"finished_at"`
	DurationMS  *int64          `json:"duration_ms"` // started to finished
}

// ExecutionSummary is an execution as lists have it: without what may be large, or is asked for one at a time.
type ExecutionSummary struct {
	ID          int64      `json:"id"`
	Parent      *int64     `json:"parent"`
	Action      Ref        `json:"action"`
	Status      Status     `json:"status"`
	Attempt     int        `json:"attempt"`
	MaxAttempts int        `json:"max_attempts"`
	Worker      *string    `json:"worker"`
	ExitCode    *int       `json:"exit_code"`
	Signal      *string    `json:"signal"`
	Error       *Failure   `json:"error"`
	WaitingFor  *Waiting   `json:"waiting_for"`
	CreatedAt   time.Time  `json:"created_at"`
	ScheduledAt *time.Time `json:"scheduled_at"`
	StartedAt   *time.Time `json:"started_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	DurationMS  *int64     `json:"duration_ms"`
}

// Summary returns the execution as lists have it.
func (e Execution) Summary() ExecutionSummary {
	return ExecutionSummary{
		ID: e.ID, Parent: e.Parent, Action: e.Action, Status: e.Status, Attempt: e.Attempt, MaxAttempts: e.MaxAttempts, Worker: e.Worker,
		ExitCode: e.ExitCode, Signal: e.Signal, Error: e.Error, WaitingFor: e.WaitingFor, CreatedAt: e.CreatedAt,
		ScheduledAt: e.ScheduledAt, StartedAt: e.StartedAt, FinishedAt: e.FinishedAt, DurationMS: e.DurationMS,
	}
}

// Output accounts for one stream of an attempt.
type Output struct {
	Bytes        int64 `json:"bytes"`         // all that the action wrote
	DroppedBytes int64 `json:"dropped_bytes"` // of it not kept
}

// Resources is what an attempt used, all of its processes together where the host can tell.
type Resources struct {
	CPUMillis   int64 `json:"cpu_ms"`
	MaxRSSBytes int64 `json:"max_rss_bytes"` // peak memory of the largest process
}

// Processes tells how the processes of an attempt ended, all of them.
type Processes struct {
	Signal    *string  `json:"signal"`    // the last one that we had to send: SIGTERM, SIGKILL; null if all ended by themselves
	Killed    int      `json:"killed"`    // how many needed SIGKILL
	Survivors []string `json:"survivors"` // "pid (name)" of those that even that did not end; empty: nothing is left
}

// FailureKind is why an execution did not complete.
type FailureKind string

// The kinds of failure.
const (
	FailureExit           FailureKind = "exit"
	FailureSignal         FailureKind = "signal"
	FailureTimeout        FailureKind = "timeout"
	FailureOOM            FailureKind = "oom"
	FailureCancelled      FailureKind = "cancelled"
	FailureWorkerLost     FailureKind = "worker_lost"
	FailureSetup          FailureKind = "setup"
	FailureLimit          FailureKind = "limit"
	FailureResultInvalid  FailureKind = "result_invalid"
	FailureResultTooLarge FailureKind = "result_too_large"
	FailureUnschedulable  FailureKind = "unschedulable"
)

// Failure tells why an execution did not complete. It is a result, not an error of ours.
type Failure struct {
	Kind    FailureKind `json:"kind"`
	Message string      `json:"message"`
}

// WaitReason is what an execution waits for.
type WaitReason string

// The reasons for waiting.
const (
	WaitSlot        WaitReason = "slot"        // workers that could run it are full
	WaitWorker      WaitReason = "worker"      // no worker can run it now
	WaitRetry       WaitReason = "retry"       // the delay before the next attempt
	WaitEnvironment WaitReason = "environment" // the pack's environment is being built
)

// Waiting tells why an execution has not begun; it is derived when read, never stored.
type Waiting struct {
	Reason  WaitReason `json:"reason"`
	Message string     `json:"message"`
	Since   time.Time  `json:"since"`
}

// Fence identifies one attempt on one incarnation of a worker. Every write about a running attempt carries it, and
// is refused when the row has moved on.
type Fence struct {
	ExecutionID int64 `json:"execution_id"`
	Attempt     int   `json:"attempt"`
	WorkerID    int64 `json:"worker_id"`
	Incarnation int64 `json:"incarnation"`
}

// Outcome is how an attempt ended: what Finish writes.
type Outcome struct {
	Status    Status // completed, failed, timeout or cancelled
	ExitCode  *int
	Signal    *string
	Result    json.RawMessage
	Failure   *Failure
	Stdout    Output
	Stderr    Output
	Order     OutputOrder
	Resources Resources
	Processes *Processes    // nil if none ran
	Age       time.Duration // how long ago it ended, if it had to wait for the database
}
