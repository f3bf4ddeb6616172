package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// TestDispatchIsDeliveredAgain delivers a dispatch twice at once, again while its execution runs, and after that has
// ended: it runs once.
func TestDispatchIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	w := newWired(t)
	file := w.hand("ran")
	w.toWorker.let(w.dispatches(), isLate)
	id := w.submit(w.Client, noting(file, untilHeld, map[string]string{"hold": w.hold}))
	w.dispatch(id, 1)
	w.eventually("both deliveries are on their way", func() bool { return w.toWorker.countLate() == 2 })
	w.toWorker.release(0, 1)
	w.becomes(w.Client, id, attune.StatusRunning)
	w.dispatchAgain(id, 1)
	w.touch(w.hold)
	e := w.becomes(w.Client, id, attune.StatusCompleted)
	w.dispatchAgain(id, 1)
	w.stays(id, attune.StatusCompleted, newMark())
	if later, err := w.Execution(t.Context(), id); err != nil || !later.FinishedAt.Equal(*e.FinishedAt) || later.Attempt != 1 {
		t.Errorf("%+v, then %+v: %v", e, later, err)
	}
	w.ranOnce(file, id)
}

// dispatchAgain publishes a dispatch and returns when the worker has got it.
func (w *wired) dispatchAgain(id int64, attempt int) {
	w.t.Helper()
	before := w.toWorker.countArrived(w.dispatches())
	w.dispatch(id, attempt)
	w.eventually("the dispatch arrives", func() bool { return w.toWorker.countArrived(w.dispatches()) == before+1 })
}

// TestMessagesAreLost loses the messages of one hop: by the rows everything still comes to its end.
func TestMessagesAreLost(t *testing.T) {
	t.Parallel()
	all := newWired(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=1")
	db := all.database.Open(t)
	t.Run("ExecutionRequested to the scheduler", func(t *testing.T) {
		w := all.in(t)
		w.toServer.let("execution.requested", isLost)
		id := w.submit(w.Client, echo("x"))
		w.becomes(w.Client, id, attune.StatusCompleted)
		w.losses(w.toServer, 1)
		w.stays(id, attune.StatusCompleted, newMark())
	})
	t.Run("ExecutionScheduled to the worker", func(t *testing.T) {
		w := all.in(t)
		file := w.hand("scheduled")
		w.toWorker.let(w.dispatches(), isLost)
		id := w.submit(w.Client, noting(file, "", nil))
		w.losses(w.toWorker, 1)
		storetest.Age(t, db, id, 11) // the sweep's interval is over
		w.becomes(w.Client, id, attune.StatusCompleted)
		w.stays(id, attune.StatusCompleted, newMark())
		w.ranOnce(file, id)
	})
	t.Run("ExecutionCancelRequested to the worker", func(t *testing.T) {
		w := all.in(t)
		mark := newMark()
		id := w.runsWild(mark)
		w.toWorker.let(w.cancels(), isLost)
		w.cancel(id, attune.StatusCanceling)
		w.losses(w.toWorker, 1)
		storetest.Age(t, db, id, 11)
		w.becomes(w.Client, id, attune.StatusCancelled)
		w.stays(id, attune.StatusCancelled, mark)
	})
	t.Run("ExecutionStatusChanged to who waits", func(t *testing.T) {
		w := all.in(t)
		w.toServer.let("execution.status.", isLost)
		hold := w.hand("status")
		id := w.submit(w.Client, script(untilHeld, map[string]string{"hold": hold}))
		waited := make(chan attune.Execution, 1)
		go func() {
			e, err := w.WaitExecution(t.Context(), id)
			if err != nil {
				t.Error(err)
			}
			waited <- e
		}()
		w.becomes(w.Client, id, attune.StatusRunning)
		next := w.submit(w.Client, echo("waits for the slot"))
		w.touch(hold)
		if e := <-waited; e.Status != attune.StatusCompleted {
			t.Errorf("who waited got %+v", e)
		}
		w.becomes(w.Client, next, attune.StatusCompleted)
		w.losses(w.toServer, 4) // running and completed of both, at least
		w.stays(id, attune.StatusCompleted, newMark())
	})
}

// losses waits until so many messages are lost, and then loses no more.
func (w *wired) losses(to *frameWire, least int) {
	w.t.Helper()
	w.eventually("the fault fires", func() bool { return to.countLost() >= least })
	to.let("", arrives)
}

// runsWild starts what does not end by SIGTERM, and returns when its processes run.
func (w *wired) runsWild(mark string) int64 {
	w.t.Helper()
	id := w.submit(w.Client, script(wild[1], map[string]string{"mark": mark}))
	w.becomes(w.Client, id, attune.StatusRunning)
	w.eventually("its processes run", func() bool { return len(living(w.t, mark)) > 0 })
	return id
}

// cancel asks for the end of an execution, and gets the status.
func (w *wired) cancel(id int64, want attune.Status) {
	w.t.Helper()
	if e, err := w.Cancel(w.t.Context(), id); err != nil || e.Status != want {
		w.t.Fatalf("cancelled, execution %d is %s, want %s: %v", id, e.Status, want, err)
	}
}

// TestMessagesAreReordered lets messages overtake each other: what happens is what the rows say.
func TestMessagesAreReordered(t *testing.T) {
	t.Parallel()
	all := newWired(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=4")
	t.Run("a later dispatch first", func(t *testing.T) {
		w := all.in(t)
		file := w.hand("two")
		w.toWorker.let(w.dispatches(), isLate)
		first := w.submit(w.Client, noting(file, "", nil))
		w.becomes(w.Client, first, attune.StatusScheduled)
		second := w.submit(w.Client, noting(file, "", nil))
		w.eventually("both are late", func() bool { return w.toWorker.countLate() == 2 })
		w.toWorker.release(1)
		w.becomes(w.Client, second, attune.StatusCompleted)
		w.toWorker.release(0)
		w.becomes(w.Client, first, attune.StatusCompleted)
		w.ranOnce(file, second, first)
	})
	t.Run("a later attempt first", func(t *testing.T) { all.in(t).laterAttemptFirst() })
	t.Run("a request to cancel before its dispatch", func(t *testing.T) {
		w := all.in(t)
		w.toWorker.let(w.dispatches(), isLate)
		id := w.submit(w.Client, echo("x"))
		w.eventually("the dispatch is late", func() bool { return w.toWorker.countLate() == 1 })
		w.publish(broker.CancelRequested(w.id, broker.ExecutionCancelRequested{ExecutionID: id, Attempt: 1}))
		w.eventually("the worker has got the request", func() bool { return w.toWorker.hasAcked(id) })
		w.toWorker.release(0)
		w.becomes(w.Client, id, attune.StatusCompleted) // since nobody has asked for its end in the table
		w.stays(id, attune.StatusCompleted, newMark())
	})
	t.Run("a request to place after the end", func(t *testing.T) {
		w := all.in(t)
		file := w.hand("ended")
		id := w.submit(w.Client, noting(file, "", nil))
		w.becomes(w.Client, id, attune.StatusCompleted)
		before := w.toServer.countArrived("execution.requested")
		w.publish(broker.Requested(broker.ExecutionRequested{ExecutionID: id, ActionRef: "core.echo"}))
		w.eventually("the request arrives", func() bool { return w.toServer.countArrived("execution.requested") == before+1 })
		w.stays(id, attune.StatusCompleted, newMark())
		w.ranOnce(file, id)
	})
}

// laterAttemptFirst delivers the dispatch of a second attempt while the first one runs, and that of the first one after
// that of the second.
func (w *wired) laterAttemptFirst() {
	w.t.Helper()
	w.install("twice", `retry: {max_attempts: 2}`, `echo "$ATTUNE_EXECUTION_ID-$ATTUNE_ATTEMPT" >> "$PARAM_FILE"
		[ "$ATTUNE_ATTEMPT" = 2 ] || { until [ -e "$PARAM_HOLD" ]; do sleep 0.02; done; exit 1; }`)
	file, hold := w.hand("attempts"), w.hand("fail")
	id := w.submit(w.Client, client.Submission{
		Action: "twice.run", Parameters: fmt.Appendf(nil, `{"file":%q,"hold":%q}`, file, hold),
	})
	w.becomes(w.Client, id, attune.StatusRunning)
	w.dispatchAgain(id, 2) // which is not to be yet
	w.toWorker.let(w.dispatches(), isLate)
	w.touch(hold)
	w.eventually("the second attempt is dispatched", func() bool { return w.toWorker.countLate() == 1 })
	w.dispatch(id, 1)
	w.eventually("the first one is dispatched again", func() bool { return w.toWorker.countLate() == 2 })
	w.toWorker.release(0, 1)
	if e := w.becomes(w.Client, id, attune.StatusCompleted); e.Attempt != 2 {
		w.t.Errorf("%+v", e)
	}
	w.stays(id, attune.StatusCompleted, newMark())
	if got, want := w.noted(file), fmt.Sprintf("%d-1 %d-2", id, id); got != want {
		w.t.Errorf("it ran %q, want %q", got, want)
	}
}

// install installs a pack with one action, run, that is a shell script with a policy.
func (h *host) install(ref, policy, content string) {
	h.t.Helper()
	dir := h.hand(ref)
	if err := os.MkdirAll(filepath.Join(dir, "actions"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"pack.yaml":        "ref: " + ref + "\nversion: 1.0.0\n",
		"actions/run.yaml": "ref: " + ref + ".run\nrunner_type: shell\nentry_point: run.sh\nparameters: {file: {type: string}, hold: {type: string}}\n" + policy + "\n",
		"actions/run.sh":   content,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	h.attune(0, "pack", "install", dir)
}
