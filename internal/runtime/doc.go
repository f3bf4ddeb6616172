// Package runtime owns what every way of running an action has in common: the Runtime interface, the Task that goes
// in and the Result that comes out, the registry that picks a runtime, the forms in which parameters are delivered,
// and the rules by which a result is read.
//
// The worker builds a Task and calls Registry.For and Runtime.Execute; the runtimes themselves are packages beneath
// this one (local, container), which use Environment, Document and ReadResult so that an action meets the same words
// wherever it runs. runtimetest is the suite that each of them passes.
//
// It never starts a process, never decides an execution's status and knows neither rows nor messages. A failure of
// the action, or of what it needs, is a Result; an error is a failure of ours.
package runtime
