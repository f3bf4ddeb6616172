package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/runtime"
)

// run takes a claimed attempt to its end: whatever happens on the way, its row gets a final status. Once it is being
// ended, hurry ends its grace.
func (w *Worker) run(ctx context.Context, a execution.Assignment, hurry <-chan struct{}) {
	if err := w.ledger.enter(a.Fence()); err != nil {
		w.log.Warn("if this worker is killed now, what the attempt leaves may not be listed", "execution", a.ID, "error", err)
	}
	steps := newTrace(a.Trace || w.cfg.Trace)
	w.log.Debug("running", "execution", a.ID, "attempt", a.Attempt, "action", a.Action.Ref)
	outcome, left := w.attempt(ctx, a, hurry, steps)
	if !w.finish(ending{Fence: a.Fence(), Outcome: outcome, Artifacts: left, EndedAt: time.Now()}) {
		return
	}
	w.strike(a.Fence())
}

// attempt prepares, runs and collects; every failure on the way is part of the outcome.
func (w *Worker) attempt(ctx context.Context, a execution.Assignment, hurry <-chan struct{}, steps *trace) (attune.Outcome, []attune.Artifact) {
	begun := time.Now()
	steps.begin("artifacts")
	kept, fault := w.openArtifacts(a)
	result, err := w.execute(ctx, a, kept, hurry, steps)
	steps.begin("collect")
	outcome := outcomeOf(ctx, result, err)
	fault = errors.Join(fault, kept.close(&outcome))
	if fault != nil {
		w.log.Error("artifacts are incomplete", "execution", a.ID, "error", fault)
	}
	left, err := kept.collect(steps)
	if err != nil {
		w.log.Error("artifacts are not listed", "execution", a.ID, "error", err)
	}
	w.cfg.Ended(Ended{outcome.Status, time.Since(begun), outcome.Stdout, outcome.Stderr, kept.places})
	return outcome, left
}

func (w *Worker) execute(ctx context.Context, a execution.Assignment, kept *keeping, hurry <-chan struct{}, steps *trace) (runtime.Result, error) {
	steps.begin("prepare")
	place, err := w.prepare(ctx, a)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	defer func() {
		steps.begin("clean up")
		if err := w.rooms.leave(place.room); err != nil {
			w.log.Error("private directory not removed, the next start does it", "execution", a.ID, "error", err)
		}
	}()
	run, err := w.deps.Runtimes.For(&a.Action)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	hidden, err := w.secretsOf(ctx, a)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	hidden.token = w.tokenOf(a.Fence())
	kept.mask(hidden)
	defer w.removeSecrets(a, place)
	if err := w.equip(a, place, kept, hidden); err != nil {
		return runtime.SetupFailure(err)
	}
	defer kept.takeFiles(ctx, place)
	task, err := w.task(a, place, kept, hidden)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	confine, release, err := w.confine(a.Action, place, kept)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	defer release()
	task.Confine = confine
	task.Hurry, task.Trace = hurry, steps.begin
	steps.begin("execute")
	return run.Execute(ctx, task)
}

// equip gives an attempt the directories that are not in its room: that for its artifacts, and that of its keys.
func (w *Worker) equip(a execution.Assignment, p *place, kept *keeping, hidden *secrets) (err error) {
	if p.files, err = kept.filesDir(p); err != nil {
		return runtime.Setupf("the directory for artifacts can't be made: %v", err)
	}
	if execution.GivenSecrets(a.ExecutionRow, a.Action) {
		if err := kept.hold(); err != nil {
			return runtime.Setupf("the directory for what is added can't be made: %v", err)
		}
	}
	if hidden.keys == nil {
		return nil
	}
	if p.secrets, err = w.vault.put(taskID(a), hidden.keys); err != nil {
		return runtime.Setupf("the keys can't be handed over: %v", err)
	}
	return nil
}

// outcomeOf turns what the runtime says into what the row will say. ctx tells why a stopped attempt was stopped.
func outcomeOf(ctx context.Context, r runtime.Result, err error) attune.Outcome {
	o := attune.Outcome{
		Status: attune.StatusFailed, ExitCode: r.ExitCode, Signal: r.Signal, Result: r.Value,
		Failure: r.Failure, Resources: r.Resources, Processes: r.Processes,
	}
	cancelled := r.Stopped == runtime.StoppedCancelled || err != nil && ctx.Err() != nil
	switch {
	case cancelled && errors.Is(context.Cause(ctx), errShutdown):
		o.Status, o.Failure = attune.StatusAbandoned, lost("the worker was shut down before it ended")
	case cancelled && errors.Is(context.Cause(ctx), errLapsed):
		o.Status, o.Failure = attune.StatusAbandoned, lost("the worker could not renew its lease in time")
	case cancelled:
		o.Status, o.Failure = attune.StatusCancelled, nil // the row knows by whom
	case err != nil:
		o.Failure = &attune.Failure{Kind: attune.FailureSetup, Message: err.Error()}
	case r.Stopped == runtime.StoppedTimeout:
		o.Status = attune.StatusTimeout
		message := "its time was up: raise --timeout or timeout_seconds"
		if r.Failure != nil { // what it ran into before may be why
			message += "; " + r.Failure.Message
		}
		o.Failure = &attune.Failure{Kind: attune.FailureTimeout, Message: message}
	case r.Completed():
		o.Status = attune.StatusCompleted
	case o.Failure == nil:
		o.Failure = endFailure(r)
	}
	return o
}

func lost(why string) *attune.Failure {
	return &attune.Failure{Kind: attune.FailureWorkerLost, Message: why}
}

func endFailure(r runtime.Result) *attune.Failure {
	if r.Signal != nil {
		return &attune.Failure{Kind: attune.FailureSignal, Message: "ended by " + *r.Signal}
	}
	code := 0
	if r.ExitCode != nil {
		code = *r.ExitCode
	}
	return &attune.Failure{Kind: attune.FailureExit, Message: fmt.Sprintf("exit status %d", code)}
}
