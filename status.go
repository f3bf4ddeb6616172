package attune

//go:generate go test . -run TestLifecycleDiagramIsTheTable -update

import "slices"

// Status is the state of an execution, as stored, printed and published.
type Status string

// The states of an execution. The first four are on the way, the others are final.
const (
	StatusRequested Status = "requested" // accepted, waits for a worker
	StatusScheduled Status = "scheduled" // placed on a worker, which has not claimed it yet
	StatusRunning   Status = "running"   // claimed by its worker
	StatusCanceling Status = "canceling" // its worker was told to end it
	StatusCompleted Status = "completed" // ended by itself, exit status 0
	StatusFailed    Status = "failed"    // ended with a failure that its error explains
	StatusTimeout   Status = "timeout"   // ended by us, because its time was up
	StatusCancelled Status = "cancelled" // ended by us, because somebody asked
	StatusAbandoned Status = "abandoned" // its worker was lost
)

// Cause is why an execution changes its status.
type Cause string

// The causes of transitions. Each is one named method of package execution.
const (
	CauseSchedule Cause = "schedule" // placed on a worker with a free slot
	CauseClaim    Cause = "claim"    // the worker took it into a slot
	CauseRelease  Cause = "release"  // its worker was lost, draining, full, or did not claim in time
	CauseFinish   Cause = "finish"   // ended, and no attempt is left
	CauseRetry    Cause = "retry"    // ended, and the retry policy leaves an attempt
	CauseAbandon  Cause = "abandon"  // the worker that ran it is lost
	CauseCancel   Cause = "cancel"   // somebody asked for it to end
	CauseReject   Cause = "reject"   // it can never run
)

// Transition is one legal change of an execution's status.
type Transition struct {
	From, To Status
	Cause    Cause
}

// transitions is the only place that says which changes are legal. docs/lifecycle.md is generated from it and the
// store's trigger is tested against it.
var transitions = [...]Transition{
	{StatusRequested, StatusScheduled, CauseSchedule},
	{StatusRequested, StatusCancelled, CauseCancel},
	{StatusRequested, StatusFailed, CauseReject},
	{StatusScheduled, StatusRunning, CauseClaim},
	{StatusScheduled, StatusRequested, CauseRelease},
	{StatusScheduled, StatusCancelled, CauseCancel},
	{StatusRunning, StatusCompleted, CauseFinish},
	{StatusRunning, StatusFailed, CauseFinish},
	{StatusRunning, StatusTimeout, CauseFinish},
	{StatusRunning, StatusAbandoned, CauseAbandon},
	{StatusRunning, StatusRequested, CauseRetry},
	{StatusRunning, StatusCanceling, CauseCancel},
	{StatusCanceling, StatusCancelled, CauseFinish},
	{StatusCanceling, StatusCompleted, CauseFinish},
	{StatusCanceling, StatusFailed, CauseFinish},
	{StatusCanceling, StatusTimeout, CauseFinish},
}

// Transitions returns a copy of the table of legal transitions.
func Transitions() []Transition { return slices.Clone(transitions[:]) }

// Statuses returns every status, those on the way first, in the order in which they are usually met.
func Statuses() []Status {
	return []Status{
		StatusRequested, StatusScheduled, StatusRunning, StatusCanceling,
		StatusCompleted, StatusFailed, StatusTimeout, StatusCancelled, StatusAbandoned,
	}
}

// Valid tells whether s is a status at all.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// Final tells whether an execution in this status never changes again.
func (s Status) Final() bool {
	switch s {
	case StatusCompleted, StatusFailed, StatusTimeout, StatusCancelled, StatusAbandoned:
		return true
	}
	return false
}

// Live tells whether a worker holds, or may hold, processes for an execution in this status.
func (s Status) Live() bool { return s == StatusRunning || s == StatusCanceling }

// CanBecome tells whether the table has a transition from s to next.
func (s Status) CanBecome(next Status) bool {
	return slices.ContainsFunc(transitions[:], func(t Transition) bool { return t.From == s && t.To == next })
}
