package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/testserver"
)

// newOutage makes a host on a PostgreSQL and a RabbitMQ of its own, which the test may kill.
func newOutage(t *testing.T, settings ...string) (*host, *testserver.Postgres, *testserver.RabbitMQ) {
	t.Helper()
	postgres, err := testserver.StartPostgres(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	rabbitmq, err := testserver.StartRabbitMQ()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rabbitmq.Stop(); err != nil {
			t.Error(err)
		}
	})
	return newHost(t, production, append([]string{
		"ATTUNE__DATABASE__URL=" + postgres.URL, "ATTUNE__MESSAGE_QUEUE__URL=" + rabbitmq.URL,
	}, settings...)...), postgres, rabbitmq
}

// untilHeld is a script that goes on when the file is there, and then has a result.
const untilHeld = `echo begun; until [ -e "$PARAM_HOLD" ]; do sleep 0.02; done; echo '{"done": true}'`

func (h *host) hand(name string) string {
	h.t.Helper()
	return filepath.Join(h.root, name)
}

func (h *host) touch(file string) {
	h.t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// ready returns the status of /readyz and its body.
func (h *host) ready(s *system) (int, string) {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, s.url+"/readyz", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var body json.RawMessage
	_ = json.NewDecoder(answer.Body).Decode(&body)
	return answer.StatusCode, string(body)
}

func (h *host) spooled(worker string) int {
	files, _ := filepath.Glob(filepath.Join(h.workerDir(worker), "workers", worker, "spool", "*.json"))
	return len(files)
}

// TestDatabaseIsAway kills PostgreSQL while actions run: they end, their results wait on the worker's disk, also over a
// restart of the worker, and are stored when it is back.
func TestDatabaseIsAway(t *testing.T) {
	t.Parallel()
	h, postgres, _ := newOutage(t, "ATTUNE__WORKER__HEARTBEAT_INTERVAL=20") // longer than this takes: the lease holds
	s := h.up()
	first, second, began := h.hand("first"), h.hand("second"), h.hand("began")
	ids := []int64{
		h.submit(s.Client, noting(began, untilHeld, map[string]string{"hold": first})),
		h.submit(s.Client, noting(began, untilHeld, map[string]string{"hold": second})),
	}
	// Before that, the worker may still have to fetch the script.
	h.eventually("both have begun", func() bool { return len(strings.Fields(h.noted(began))) == len(ids) })
	postgres.Kill()
	h.touch(first)
	h.eventually("the first result is spooled", func() bool { return h.spooled("w") == 1 })
	h.touch(second)
	h.eventually("the second result is spooled", func() bool { return h.spooled("w") == 2 })

	if _, err := s.Submit(t.Context(), echo("x")); attune.ErrorCode(err) != attune.CodeUnavailable {
		t.Errorf("a submission without the database: %v", err)
	}
	if status, body := h.ready(s); status != http.StatusServiceUnavailable || !strings.Contains(body, "database") {
		t.Errorf("readyz: %d %s", status, body)
	}
	s.worker.kill()
	again := make(chan *daemon, 1)
	go func() { again <- h.spawn("worker", "--data-dir", h.workerDir("w"), "--name", "w") }()

	if err := postgres.Start(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		e := h.becomes(s.Client, id, attune.StatusCompleted)
		if string(e.Result) != `{"done":true}` || e.Attempt != 1 {
			t.Errorf("%+v", e)
		}
		if e.DurationMS == nil || e.FinishedAt.Sub(*e.StartedAt).Milliseconds() != *e.DurationMS {
			t.Errorf("duration of %+v", e)
		}
	}
	s.worker = <-again
	h.becomes(s.Client, h.submit(s.Client, echo("after")), attune.StatusCompleted)
	if n := h.spooled("w"); n != 0 {
		t.Errorf("%d results stay in the spool", n)
	}
	for _, d := range []*daemon{s.server, s.worker} {
		select {
		case <-d.ended:
			t.Errorf("a process has ended: %v\n%s", d.err, d.log)
		default:
		}
	}
}

// TestBrokerIsAway ends RabbitMQ and starts it again: meanwhile everything completes by looking at the rows.
func TestBrokerIsAway(t *testing.T) {
	t.Parallel()
	h, _, rabbitmq := newOutage(t)
	s := h.up()
	h.becomes(s.Client, h.submit(s.Client, echo("before")), attune.StatusCompleted)
	h.eventually("the worker has both queues", func() bool { return h.isConsumed(rabbitmq, "worker.1.executions", "worker.1.control") })
	// In good order, and first: a RabbitMQ that is killed right after a quorum queue was declared has lost that queue for
	// good, and answers no declaration of it any more.
	t.Run("while idle", func(t *testing.T) {
		h := h.in(t)
		rabbitmq.Halt()
		h.reports(s, `"degraded":["message_queue"]`)
		h.restarts(rabbitmq, s)
	})
	t.Run("while busy", func(t *testing.T) {
		h := h.in(t)
		runs := h.submit(s.Client, script(untilHeld, map[string]string{"hold": h.hold}))
		h.becomes(s.Client, runs, attune.StatusRunning)
		rabbitmq.Kill()
		h.reports(s, `"degraded":["message_queue"]`)
		h.becomes(s.Client, h.submit(s.Client, echo("without")), attune.StatusCompleted)
		cancelled := h.submit(s.Client, script("sleep 600", nil))
		h.becomes(s.Client, cancelled, attune.StatusRunning)
		if _, err := s.Cancel(t.Context(), cancelled); err != nil {
			t.Fatal(err)
		}
		h.becomes(s.Client, cancelled, attune.StatusCancelled)
		h.touch(h.hold)
		h.becomes(s.Client, runs, attune.StatusCompleted)
		h.restarts(rabbitmq, s)
	})
}

// reports waits until /readyz says that the server can work, and this about it.
func (h *host) reports(s *system, text string) {
	h.t.Helper()
	h.eventually("it reports "+text, func() bool {
		status, body := h.ready(s)
		return status == http.StatusOK && strings.Contains(body, text)
	})
}

// restarts starts RabbitMQ again: server and worker come back to it by themselves.
func (h *host) restarts(rabbitmq *testserver.RabbitMQ, s *system) {
	h.t.Helper()
	if err := rabbitmq.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.reports(s, `"status":"ready"`)
	h.eventually("the worker has both queues again", func() bool { return h.isConsumed(rabbitmq, "worker.1.executions", "worker.1.control") })
	h.becomes(s.Client, h.submit(s.Client, echo("again")), attune.StatusCompleted)
}

// isConsumed tells whether all of these queues have a consumer.
func (h *host) isConsumed(rabbitmq *testserver.RabbitMQ, queues ...string) bool {
	h.t.Helper()
	conn, err := rabbit.Dial(rabbitmq.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, queue := range queues {
		found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil || found.Consumers == 0 {
			return false // it is not there, or nobody's
		}
	}
	return true
}

// stopped makes a system whose worker runs something wild, and stops that worker as a debugger or a sleeping machine
// would.
func stopped(t *testing.T) (h *host, s *system, id int64, mark string) {
	t.Helper()
	h = newHost(t, production)
	s, mark = h.up(), newMark()
	id = h.submit(s.Client, script(wild[1], map[string]string{"mark": mark}))
	h.becomes(s.Client, id, attune.StatusRunning)
	h.eventually("its processes run", func() bool { return len(living(t, mark)) > 0 })
	h.signal(s.worker, syscall.SIGSTOP)
	t.Cleanup(func() { _ = s.worker.cmd.Process.Signal(syscall.SIGCONT) })
	return h, s, id, mark
}

// TestWorkerThatWasStoppedComesBack stops a worker for longer than its lease: what it ran is abandoned, its late word is
// refused, its processes end, and it works on.
func TestWorkerThatWasStoppedComesBack(t *testing.T) {
	t.Parallel()
	h, s, id, mark := stopped(t)
	e := h.becomes(s.Client, id, attune.StatusAbandoned)
	if len(living(t, mark)) == 0 {
		t.Fatal("the processes have ended already: the fault proves nothing")
	}
	h.signal(s.worker, syscall.SIGCONT)
	h.eventually("the stale processes end", func() bool { return len(living(t, mark)) == 0 })
	h.becomes(s.Client, h.submit(s.Client, echo("again")), attune.StatusCompleted)
	if later, err := s.Execution(t.Context(), id); err != nil || later.Status != attune.StatusAbandoned || !later.FinishedAt.Equal(*e.FinishedAt) {
		t.Errorf("%+v, then %+v: %v", e, later, err)
	}
	if w, err := s.Worker(t.Context(), "w"); err != nil || w.Status != attune.WorkerActive || w.SlotsUsed != 0 {
		t.Errorf("%+v %v", w, err)
	}
}

// TestWorkerIsSuperseded starts a worker of the same name elsewhere while the first one is stopped: the second takes
// over when the lease is over, and the first ends when it wakes.
func TestWorkerIsSuperseded(t *testing.T) {
	t.Parallel()
	h, s, id, mark := stopped(t)
	second := h.spawn("worker", "--data-dir", h.workerDir("elsewhere"), "--name", "w")
	if !strings.Contains(second.log.String(), "another process is this worker") {
		t.Errorf("it did not wait for the lease:\n%s", second.log)
	}
	h.becomes(s.Client, id, attune.StatusAbandoned)
	h.signal(s.worker, syscall.SIGCONT)
	<-s.worker.ended
	if got := exitStatus(s.worker.err); got != 4 || !strings.Contains(s.worker.log.String(), "is on host") {
		t.Errorf("exit status %d\n%s", got, s.worker.log)
	}
	if left := living(t, mark); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	h.becomes(s.Client, h.submit(s.Client, echo("second")), attune.StatusCompleted)
}

// TestLostWorkersAttemptGoesToAnother kills one of two workers for good: what its policy retries runs on the other one.
func TestLostWorkersAttemptGoesToAnother(t *testing.T) {
	t.Parallel()
	h := newHost(t, production)
	pack := filepath.Join(h.root, "pack")
	for name, text := range map[string]string{
		"pack.yaml":         "ref: lost\nversion: 1.0.0\n",
		"actions/once.yaml": "ref: lost.once\nrunner_type: shell\nentry_point: once.sh\nretry: {max_attempts: 2, on: [abandoned]}\n",
		"actions/once.sh":   `[ "$ATTUNE_ATTEMPT" = 2 ] || { echo begun; sleep 600; }; echo "$ATTUNE_WORKER"`,
	} {
		file := filepath.Join(pack, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := h.up()
	h.attune(0, "pack", "install", pack)
	id := h.submit(s.Client, client.Submission{Action: "lost.once"})
	h.becomes(s.Client, id, attune.StatusRunning)
	h.spawn("worker", "--data-dir", h.workerDir("v"), "--name", "v")
	s.worker.kill()
	e := h.becomes(s.Client, id, attune.StatusCompleted)
	if e.Attempt != 2 || e.Worker == nil || *e.Worker != "v" || h.output(s.Client, id) != "v\n" {
		t.Errorf("%+v wrote %q", e, h.output(s.Client, id))
	}
	if w, err := s.Worker(context.Background(), "w"); err != nil || w.Status != attune.WorkerLost {
		t.Errorf("%+v %v", w, err)
	}
}

// TestSeveralServersAndWorkers has two servers that both take and place, and two workers that both run.
func TestSeveralServersAndWorkers(t *testing.T) {
	t.Parallel()
	const count = 60
	h := newHost(t, production, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=2")
	s := h.up()
	h.spawn("worker", "--data-dir", h.workerDir("v"), "--name", "v")
	other := *h
	other.dir = filepath.Join(h.root, "data-2")
	other.env = append(append([]string{}, h.env...), "ATTUNE_DATA_DIR="+other.dir)
	t2 := &system{server: other.spawn("server")}
	token, err := os.ReadFile(filepath.Join(other.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	t2.Client = client.New(client.Config{BaseURL: t2.server.log.url(), Token: strings.TrimSpace(string(token))})
	t.Cleanup(t2.Close)
	var ids []int64
	for i := range count {
		ids = append(ids, h.submit([]*client.Client{s.Client, t2.Client}[i%2], echo(fmt.Sprint(i))))
	}
	ran := map[string]int{}
	for i, id := range ids {
		// Each is asked for at the server that it was not submitted to.
		e, err := []*client.Client{t2.Client, s.Client}[i%2].WaitExecution(t.Context(), id)
		if err != nil || e.Status != attune.StatusCompleted {
			t.Fatalf("%+v %v", e, err)
		}
		ran[*e.Worker]++
	}
	if ran["w"] == 0 || ran["v"] == 0 {
		t.Errorf("the workers ran %v", ran)
	}
	h.attune(0, "worker", "drain", "v")
	h.eventually("it has left", func() bool {
		w, err := s.Worker(t.Context(), "v")
		return err == nil && w.Status == attune.WorkerInactive
	})
}
