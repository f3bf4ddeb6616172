package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/testserver"
)

// chaosExecutions is how many executions TestChaos runs; ATTUNE_CHAOS_EXECUTIONS, as `make chaos` sets it, says more.
const chaosExecutions = 120

// fleet is a production shape of two servers and four workers, on databases of its own.
type fleet struct {
	*host
	postgres *testserver.Postgres
	rabbitmq *testserver.RabbitMQ
	servers  []*host // each with a data directory of its own
	workers  []string

	mu      sync.Mutex // guards what follows
	daemons map[string]*daemon
	clients []*client.Client
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	h, postgres, rabbitmq := newOutage(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=4")
	f := &fleet{
		host: h, postgres: postgres, rabbitmq: rabbitmq, workers: []string{"a", "b", "c", "d"}, daemons: map[string]*daemon{},
		clients: make([]*client.Client, 2),
	}
	for i := range f.clients {
		server := *h
		server.dir = filepath.Join(h.root, fmt.Sprint("server-", i))
		server.env = append(append([]string{}, h.env...), "ATTUNE_DATA_DIR="+server.dir)
		f.servers = append(f.servers, &server)
		f.serve(i)
	}
	for _, name := range f.workers {
		f.work(name)
	}
	return f
}

func (f *fleet) serve(i int) {
	f.t.Helper()
	d := f.servers[i].spawn("server")
	token, err := os.ReadFile(filepath.Join(f.servers[i].dir, "token"))
	if err != nil {
		f.t.Fatal(err)
	}
	c := client.New(client.Config{BaseURL: d.log.url(), Token: strings.TrimSpace(string(token))})
	f.t.Cleanup(c.Close)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.daemons[fmt.Sprint("server-", i)], f.clients[i] = d, c
}

func (f *fleet) work(name string) {
	f.t.Helper()
	d := f.spawn("worker", "--data-dir", f.workerDir(name), "--name", name)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.daemons[name] = d
}

func (f *fleet) client(i int) *client.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clients[i%len(f.clients)]
}

// submitForSure submits one execution, however often that takes.
func (f *fleet) submitForSure(ctx context.Context, i int, s client.Submission) (int64, error) {
	s.IdempotencyKey = fmt.Sprint("chaos-", i)
	for try := i; ; try++ {
		e, err := f.client(try).Submit(ctx, s)
		if err == nil {
			return e.ID, nil
		}
		switch attune.ErrorCode(err) {
		case attune.CodeUnavailable, attune.CodeInternal: // a server that is being killed may answer anything
		default:
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// manage calls RabbitMQ's management API; what it refuses is part of the chaos.
func (f *fleet) manage(method, path string, answer any) {
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.rabbitmq.ManagementURL+"/api/"+path, nil)
	if err != nil {
		f.t.Error(err)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	if answer != nil {
		_ = json.NewDecoder(response.Body).Decode(answer)
	}
	_, _ = io.Copy(io.Discard, response.Body)
}

// blows are what happens to the fleet; each returns what it did.
func (f *fleet) blows() []func() string {
	kill := func(name string) {
		f.mu.Lock()
		d := f.daemons[name]
		f.mu.Unlock()
		d.kill()
	}
	worker := func() string {
		name := f.workers[rand.IntN(len(f.workers))]
		kill(name)
		f.work(name)
		return "worker killed"
	}
	return []func() string{
		worker, worker, worker,
		func() string { kill("server-1"); f.serve(1); return "server killed" },
		func() string {
			var queues []struct{ Name string }
			f.manage(http.MethodGet, "queues/%2F", &queues)
			for _, q := range queues {
				f.manage(http.MethodDelete, "queues/%2F/"+url.PathEscape(q.Name)+"/contents", nil)
			}
			return "queues purged"
		},
		func() string {
			var connections []struct{ Name string }
			f.manage(http.MethodGet, "connections", &connections)
			for _, c := range connections {
				f.manage(http.MethodDelete, "connections/"+url.PathEscape(c.Name), nil)
			}
			return "connections closed"
		},
	}
}

// restart ends a database server and starts it again.
func (f *fleet) restart(stop func(), start func() error) {
	f.t.Helper()
	stop()
	if err := start(); err != nil {
		f.t.Fatal(err)
	}
}

// TestChaos runs executions that each append their id to one file, while workers and a server are killed, queues are
// purged, connections closed, and RabbitMQ and PostgreSQL restarted. Every execution ends once, none that completed ran
// twice, and nothing is left.
func TestChaos(t *testing.T) {
	t.Parallel()
	count := chaosExecutions
	if more, err := strconv.Atoi(os.Getenv("ATTUNE_CHAOS_EXECUTIONS")); err == nil {
		count = more
	}
	f := newFleet(t)
	mark, file := newMark(), f.hand("ids")
	const content = `sleep 0.2; echo "$ATTUNE_EXECUTION_ID" >> "$PARAM_FILE"
		env -i setsid sleep "$PARAM_MARK" </dev/null >/dev/null 2>&1 & exit 0`
	ids := make([]int64, count)
	submitting, ctx := errgroup.WithContext(t.Context())
	submitting.SetLimit(8)
	submitted := make(chan error, 1)
	go func() {
		for i := range ids {
			submitting.Go(func() (err error) {
				ids[i], err = f.submitForSure(ctx, i, script(content, map[string]string{"file": file, "mark": mark}))
				return err
			})
		}
		submitted <- submitting.Wait()
	}()
	did := f.chaos(count, func() bool { return f.ended(count) })
	if err := <-submitted; err != nil {
		t.Fatal(err)
	}
	statuses := f.verify(ids, file)
	t.Logf("%d executions: %v; faults: %v", count, statuses, did)
	if left := living(t, mark); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	for _, name := range f.workers {
		f.keepsNothing(name)
	}
}

// chaos deals blows until done: the databases' restarts come early, when there is much to lose.
func (f *fleet) chaos(count int, done func() bool) map[string]int {
	f.t.Helper()
	did := map[string]int{}
	blows := f.blows()
	for n := 1; n <= 12 || !done() && n < count; n++ {
		switch n {
		case 3, 9:
			f.restart(f.rabbitmq.Halt, f.rabbitmq.Start)
			did["RabbitMQ restarted"]++
		case 6:
			f.restart(f.postgres.Kill, f.postgres.Start)
			did["PostgreSQL restarted"]++
		default:
			did[blows[rand.IntN(len(blows))]()]++
		}
	}
	return did
}

// ended tells whether so many executions have ended.
func (f *fleet) ended(count int) bool {
	n := 0
	filter := client.Filter{Limit: 500}
	for {
		page, err := f.client(0).Executions(f.t.Context(), filter)
		if err != nil {
			return false
		}
		for _, e := range page.Items {
			if e.Status.Final() {
				n++
			}
		}
		if page.NextCursor == "" {
			return n >= count
		}
		filter.Cursor = page.NextCursor
	}
}

// verify waits for every end, and holds what the table says against what the actions wrote.
func (f *fleet) verify(ids []int64, file string) map[attune.Status]int {
	f.t.Helper()
	statuses := map[attune.Status]int{}
	seen := map[int64]bool{}
	for _, id := range ids {
		e, err := f.client(0).WaitExecution(f.t.Context(), id)
		if err != nil {
			f.t.Fatal(err)
		}
		if seen[id] {
			f.t.Errorf("execution %d answers two submissions", id)
		}
		seen[id] = true
		statuses[e.Status]++
	}
	text, err := os.ReadFile(file)
	if err != nil {
		f.t.Fatal(err)
	}
	ran := map[int64]int{}
	for line := range bytes.Lines(text) {
		id, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
		if err != nil {
			f.t.Fatal(err)
		}
		ran[id]++
	}
	for _, e := range everything(f.t, f.client(0)) {
		switch {
		case e.Status == attune.StatusCompleted && ran[e.ID] != 1:
			f.t.Errorf("execution %d completed and ran %d times", e.ID, ran[e.ID])
		case e.Status == attune.StatusAbandoned && ran[e.ID] > 1:
			f.t.Errorf("execution %d was abandoned and ran %d times", e.ID, ran[e.ID])
		case e.Status != attune.StatusCompleted && e.Status != attune.StatusAbandoned:
			f.t.Errorf("execution %d ended as %s: %+v", e.ID, e.Status, e.Error)
		}
	}
	return statuses
}
