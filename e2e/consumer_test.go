package e2e_test

import (
	"strings"
	"testing"

	"github.com/attune-automation/attune"
)

// TestWorkerLosesItsQueues takes both queues from a worker that runs something and has a dispatch on its way, by each
// thing that a broker may do. It declares them again, takes what was dispatched meanwhile, and can be told to cancel.
func TestWorkerLosesItsQueues(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		strike func(w *wired, queue string)
		logged string // by the worker, for each queue
	}{
		"the channel is closed": {
			func(w *wired, queue string) { w.toWorker.consumer(queue).offend(w.t) }, "unknown delivery tag",
		},
		"basic.cancel": {
			func(w *wired, queue string) { w.toWorker.consumer(queue).cancel(w.t) }, "cancelled the consumer",
		},
		"the queue is deleted": {
			func(w *wired, queue string) { w.messages.DeleteQueue(w.t, queue) }, "cancelled the consumer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Each has a system of its own: a worker that loses a queue again soon after says so later.
			w := newWired(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=4")
			file, mark, hold := w.hand(name), newMark(), w.hand(name+" hold")
			lost, again := w.logged(fault.logged), w.logged("has its queue again")
			runs := w.submit(w.Client, noting(file, untilHeld, map[string]string{"hold": hold}))
			w.becomes(w.Client, runs, attune.StatusRunning)
			wild := w.runsWild(mark)
			w.toWorker.let(w.dispatches(), isLate)
			placed := w.submit(w.Client, noting(file, "", nil))
			w.eventually("a dispatch is on its way", func() bool { return w.toWorker.countLate() == 1 })

			for _, queue := range []string{w.queue("executions"), w.queue("control")} {
				fault.strike(w, queue)
			}
			w.eventually("the worker has lost both", func() bool { return w.logged(fault.logged) == lost+2 })
			w.toWorker.forget()
			w.eventually("the worker has both again", func() bool { return w.logged("has its queue again") == again+2 })
			w.becomes(w.Client, placed, attune.StatusCompleted)
			w.cancel(wild, attune.StatusCanceling)
			w.becomes(w.Client, wild, attune.StatusCancelled)
			w.touch(hold)
			w.becomes(w.Client, runs, attune.StatusCompleted)
			w.stays(wild, attune.StatusCancelled, mark)
			w.ranOnce(file, runs, placed)
		})
	}
}

// logged counts how often the worker has logged a text.
func (w *wired) logged(text string) int { return strings.Count(w.worker.log.String(), text) }
