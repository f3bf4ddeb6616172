package broker

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/attune-automation/attune"
)

// The message types.
const (
	TypeExecutionRequested       = "ExecutionRequested"
	TypeExecutionScheduled       = "ExecutionScheduled"
	TypeExecutionCancelRequested = "ExecutionCancelRequested"
	TypeExecutionStatusChanged   = "ExecutionStatusChanged"
	TypeOutputRequested          = "OutputRequested"
	TypeOutputWritten            = "OutputWritten"
)

// Routing keys, or what they begin with.
const (
	keyRequested = "execution.requested"
	keyScheduled = "execution.scheduled." // and the worker's id
	keyCancel    = "execution.cancel."    // and the worker's id
	keyStatus    = "execution.status."    // and the new status
	keyFollow    = "execution.follow."    // and the worker's id
	keyOutput    = "execution.output."    // and the server's name
)

// ExecutionRequested wakes a scheduler: there is something to place.
type ExecutionRequested struct {
	ExecutionID int64      `json:"execution_id"`
	ActionRef   attune.Ref `json:"action_ref"`
}

// Requested returns the message that an execution waits for a worker. It is not mandatory: without a scheduler it
// waits in the table.
func Requested(p ExecutionRequested) Message { return newMessage(keyRequested, false, p) }

func (ExecutionRequested) messageType() string  { return TypeExecutionRequested }
func (p ExecutionRequested) executionID() int64 { return p.ExecutionID }
func (p ExecutionRequested) check() error {
	return cmp.Or(positive("execution_id", p.ExecutionID), present("action_ref", string(p.ActionRef)))
}

// ExecutionScheduled tells a worker to claim an attempt. The incarnation is the one it was placed on; another one
// has no claim to it.
type ExecutionScheduled struct {
	ExecutionID int64 `json:"execution_id"`
	Attempt     int   `json:"attempt"`
	WorkerID    int64 `json:"worker_id"`
	Incarnation int64 `json:"incarnation"`
}

// Scheduled returns the message to the worker of p. It is mandatory: a worker without a queue can't claim, and the
// row goes back.
func Scheduled(p ExecutionScheduled) Message {
	return newMessage(keyScheduled+strconv.FormatInt(p.WorkerID, 10), true, p)
}

func (ExecutionScheduled) messageType() string  { return TypeExecutionScheduled }
func (p ExecutionScheduled) executionID() int64 { return p.ExecutionID }
func (p ExecutionScheduled) check() error {
	return cmp.Or(
		positive("execution_id", p.ExecutionID),
		positive("attempt", int64(p.Attempt)),
		positive("worker_id", p.WorkerID),
		positive("incarnation", p.Incarnation),
	)
}

// ExecutionCancelRequested tells a worker to end an attempt.
type ExecutionCancelRequested struct {
	ExecutionID int64 `json:"execution_id"`
	Attempt     int   `json:"attempt"`
}

// CancelRequested returns the message to the worker that runs the attempt. It is mandatory, so that the sender
// learns when only the sweep can reach the worker.
func CancelRequested(workerID int64, p ExecutionCancelRequested) Message {
	return newMessage(keyCancel+strconv.FormatInt(workerID, 10), true, p)
}

func (ExecutionCancelRequested) messageType() string  { return TypeExecutionCancelRequested }
func (p ExecutionCancelRequested) executionID() int64 { return p.ExecutionID }
func (p ExecutionCancelRequested) check() error {
	return cmp.Or(positive("execution_id", p.ExecutionID), positive("attempt", int64(p.Attempt)))
}

// ExecutionStatusChanged announces a transition after its commit. It may be old news when it is read.
type ExecutionStatusChanged struct {
	ExecutionID    int64         `json:"execution_id"`
	ActionRef      attune.Ref    `json:"action_ref"`
	Attempt        int           `json:"attempt"`
	PreviousStatus attune.Status `json:"previous_status"`
	NewStatus      attune.Status `json:"new_status"`
	ChangedAt      time.Time     `json:"changed_at"` // database time
}

// StatusChanged returns the message for everybody who is bound to the new status.
func StatusChanged(p ExecutionStatusChanged) Message {
	return newMessage(keyStatus+string(p.NewStatus), false, p)
}

func (ExecutionStatusChanged) messageType() string  { return TypeExecutionStatusChanged }
func (p ExecutionStatusChanged) executionID() int64 { return p.ExecutionID }
func (p ExecutionStatusChanged) check() error {
	return cmp.Or(
		positive("execution_id", p.ExecutionID),
		positive("attempt", int64(p.Attempt)),
		present("action_ref", string(p.ActionRef)),
		known("previous_status", p.PreviousStatus),
		known("new_status", p.NewStatus),
	)
}

func positive(field string, value int64) error {
	if value < 1 {
		return fmt.Errorf("%s is %d or missing, want at least 1", field, value)
	}
	return nil
}

func present(field, value string) error {
	if value == "" {
		return fmt.Errorf("%s is missing", field)
	}
	return nil
}

func known(field string, status attune.Status) error {
	if !status.Valid() {
		return fmt.Errorf("%s %.32q is not a status", field, string(status))
	}
	return nil
}
