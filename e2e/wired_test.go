package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/amqp"
)

// wired is a system whose processes reach RabbitMQ, and whose worker reaches PostgreSQL, over wires.
type wired struct {
	*host
	*system
	statements  *sqlWire   // of the worker
	toServer    *frameWire // from RabbitMQ
	toWorker    *frameWire
	publisher   *amqp.Broker // the test's own
	id          int64        // the worker's
	incarnation int64
}

// newWired starts one. A heartbeat repairs much, and comes only when nobody waits for it any more.
func newWired(t *testing.T, settings ...string) *wired {
	t.Helper()
	h := newHost(t, production, append([]string{"ATTUNE__WORKER__HEARTBEAT_INTERVAL=60"}, settings...)...)
	return h.wired(h.database.URL)
}

// wired starts the system of a host whose database is there.
func (h *host) wired(database string) *wired {
	t, url := h.t, h.messages.URL
	t.Helper()
	w := &wired{
		host: h, statements: newSQLWire(t, database), toServer: newFrameWire(t, url), toWorker: newFrameWire(t, url),
		publisher: amqp.New(amqp.Config{URL: url}), system: &system{},
	}
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.publisher.Run(ctx) }()
	t.Cleanup(func() {
		stop(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	own := *h
	own.env = append(append([]string{}, h.env...), "ATTUNE__MESSAGE_QUEUE__URL="+w.toServer.url)
	w.server = own.spawn("server")
	w.Client, w.url = h.client(w.server), w.server.log.url()
	w.work(t)
	return w
}

// work starts the worker, until t ends, and returns when only messages tell it what to do: when it has got its queues, it
// reads its rows once.
func (w *wired) work(t *testing.T) {
	t.Helper()
	own := w.host.in(t)
	own.env = append(append([]string{}, w.env...),
		"ATTUNE__MESSAGE_QUEUE__URL="+w.toWorker.url, "ATTUNE__DATABASE__URL="+w.statements.url)
	w.worker = own.spawn("worker", "--data-dir", w.workerDir("w"), "--name", "w")
	row, err := w.Worker(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	w.id, w.incarnation = row.ID, row.Incarnation
	own.eventually("the worker has its queues", func() bool {
		return w.toWorker.isConsumed(w.queue("executions")) && w.toWorker.isConsumed(w.queue("control"))
	})
	dispatch, request := 1_000_000+marks.Add(1), 1_000_000+marks.Add(1) // of executions that are not there
	w.publish(broker.Scheduled(broker.ExecutionScheduled{ExecutionID: dispatch, Attempt: 1, WorkerID: w.id, Incarnation: w.incarnation + 1}))
	w.publish(broker.CancelRequested(w.id, broker.ExecutionCancelRequested{ExecutionID: request, Attempt: 1}))
	own.eventually("the worker takes messages", func() bool { return w.toWorker.hasAcked(dispatch) && w.toWorker.hasAcked(request) })
}

// in is the system for a subtest.
func (w *wired) in(t *testing.T) *wired {
	t.Helper()
	own := *w
	own.host = w.host.in(t)
	return &own
}

func (w *wired) queue(of string) string { return fmt.Sprintf("worker.%d.%s", w.id, of) }
func (w *wired) dispatches() string     { return fmt.Sprint("execution.scheduled.", w.id) }
func (w *wired) cancels() string        { return fmt.Sprint("execution.cancel.", w.id) }

// publish publishes a message, which RabbitMQ must take into a queue.
func (w *wired) publish(m broker.Message) {
	w.t.Helper()
	m.Mandatory = true
	if err := w.publisher.Publish(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

// dispatch publishes what says that an attempt was placed on the worker.
func (w *wired) dispatch(id int64, attempt int) {
	w.t.Helper()
	w.publish(broker.Scheduled(broker.ExecutionScheduled{
		ExecutionID: id, Attempt: attempt, WorkerID: w.id, Incarnation: w.incarnation,
	}))
}

// insist submits, again while it is told to try again: each connection that was lost costs the server a refusal.
func (w *wired) insist(s client.Submission) (id int64) {
	w.t.Helper()
	s.IdempotencyKey = newMark()
	w.eventually("a submission is taken", func() bool {
		e, err := w.Submit(w.t.Context(), s)
		if err != nil && attune.ErrorCode(err) != attune.CodeUnavailable {
			w.t.Fatal(err)
		}
		id = e.ID
		return err == nil
	})
	return id
}

// noting is a script that notes each of its attempts in a file, and then runs more.
func noting(file, more string, parameters map[string]string) client.Submission {
	all := map[string]string{"file": file}
	for name, value := range parameters {
		all[name] = value
	}
	return script(`echo "$ATTUNE_EXECUTION_ID-$ATTUNE_ATTEMPT" >> "$PARAM_FILE"`+"\n"+more, all)
}

// noted returns what was noted in a file, in the order of time.
func (h *host) noted(file string) string {
	h.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// ranOnce asserts what was noted in a file: the first attempts of these, in this order.
func (h *host) ranOnce(file string, ids ...int64) {
	h.t.Helper()
	want := make([]string, 0, len(ids))
	for _, id := range ids {
		want = append(want, fmt.Sprintf("%d-1", id))
	}
	if got := h.noted(file); got != strings.Join(want, " ") {
		h.t.Errorf("%s: what ran is %q, want %q", filepath.Base(file), got, want)
	}
}

// stays looks at an execution and at the worker when all is over: its one end is still the same, no process is left,
// no private directory, and the slot is free: it takes another execution.
func (w *wired) stays(id int64, want attune.Status, mark string) {
	w.t.Helper()
	w.becomes(w.Client, w.insist(echo("next")), attune.StatusCompleted)
	e, err := w.Execution(w.t.Context(), id)
	if err != nil || e.Status != want {
		w.t.Errorf("execution %d is %s, want %s: %+v %v", id, e.Status, want, e.Error, err)
	}
	if left := living(w.t, mark); len(left) > 0 {
		w.t.Errorf("left behind: %q", left)
	}
	w.eventually("all slots are free", func() bool {
		row, err := w.Worker(w.t.Context(), "w")
		return err == nil && row.SlotsUsed == 0
	})
	w.keepsNothing("w")
}
