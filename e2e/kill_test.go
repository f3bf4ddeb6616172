package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// wild are ways in which actions start processes that are hard to find again. $PARAM_MARK is how long they sleep.
var wild = []string{
	// A plain one.
	`echo begun; sleep "$PARAM_MARK"`,
	// Deaf to SIGTERM, with its child.
	`trap '' TERM; sleep "$PARAM_MARK" & echo begun; wait; sleep "$PARAM_MARK"`,
	// A daemon: a double fork, a session of its own, an empty environment, no descriptors of ours.
	`env -i setsid bash -c 'sleep "$1" </dev/null >/dev/null 2>&1 & exec sleep "$1" </dev/null >/dev/null 2>&1' x "$PARAM_MARK" &
	 echo begun; sleep "$PARAM_MARK"`,
	// The leader is gone, its child holds the pipes.
	`sleep "$PARAM_MARK" & disown; echo begun; wait; sleep "$PARAM_MARK"`,
}

// TestKilledServerStartsAgain kills a server that runs 20 executions, while 10 wait, and starts it again.
func TestKilledServerStartsAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=20")
		s := h.up()
		before, err := s.Worker(t.Context(), "w")
		if err != nil {
			t.Fatal(err)
		}
		mark := newMark()
		var running, waiting []int64
		for i := range 20 {
			running = append(running, h.submit(s.Client, script(wild[i%len(wild)], map[string]string{"mark": mark})))
		}
		for _, id := range running {
			h.eventually("it begins", func() bool {
				e, err := s.Execution(t.Context(), id)
				return err == nil && e.Status == attune.StatusRunning && h.output(s.Client, id) == "begun\n"
			})
		}
		for i := range 10 {
			waiting = append(waiting, h.submit(s.Client, echo(fmt.Sprint("waited ", i))))
		}
		e, err := s.Execution(t.Context(), waiting[9])
		if err != nil || e.WaitingFor == nil || e.WaitingFor.Reason != attune.WaitSlot {
			t.Errorf("what waits does not say so: %+v %v", e.WaitingFor, err)
		}
		if n := len(living(t, mark)); n < 20 {
			t.Fatalf("only %d processes run: the fault would prove nothing", n)
		}
		s.kill()

		again := h.up()
		begun := time.Now()
		for _, id := range running {
			e := h.becomes(again.Client, id, attune.StatusAbandoned)
			if e.Error == nil || e.Error.Kind != attune.FailureWorkerLost || e.FinishedAt == nil {
				t.Errorf("execution %d: %+v", id, e)
			}
		}
		t.Logf("all abandoned %v after the server was ready", time.Since(begun))
		if left := living(t, mark); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		for i, id := range waiting {
			h.becomes(again.Client, id, attune.StatusCompleted)
			if got := h.output(again.Client, id); got != fmt.Sprintf("waited %d\n", i) {
				t.Errorf("execution %d wrote %q", id, got)
			}
		}
		after, err := again.Worker(t.Context(), "w")
		if err != nil || after.ID != before.ID || after.Incarnation != before.Incarnation+1 {
			t.Errorf("%+v, then %+v: %v", before, after, err)
		}
		if after.SlotsUsed != 0 {
			t.Errorf("%d slots are still taken", after.SlotsUsed)
		}
		h.keepsNothing("w")
	})
}

// TestFollowerOutlivesItsServer is about the command that follows an execution whose server is killed.
func TestFollowerOutlivesItsServer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		s := h.up()
		file := filepath.Join(t.TempDir(), "wait.sh")
		if err := os.WriteFile(file, []byte("echo begun\nsleep 600\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := h.command("run", file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line := <-lines(out); line != "begun" {
			t.Fatalf("it wrote %q", line)
		}
		s.kill()
		// The server comes back at the address that the follower knows.
		h.env = append(h.env, "ATTUNE__SERVER__LISTEN="+strings.TrimPrefix(s.url, "http://"))
		h.up()
		if got := exitStatus(cmd.Wait()); got != 125 {
			t.Errorf("the follower of an abandoned execution ended with %d, want 125", got)
		}
	})
}

// TestKilledCommandIsBuriedByTheNext is about a command that was scheduler and worker itself.
func TestKilledCommandIsBuriedByTheNext(t *testing.T) {
	t.Parallel()
	for i, content := range wild {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, embedded)
			mark := newMark()
			file := filepath.Join(t.TempDir(), "wild.sh")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := h.command("run", file, "mark="+mark)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line := <-lines(out); line != "begun" {
				t.Fatalf("it wrote %q", line)
			}
			h.eventually("its processes run", func() bool { return len(living(t, mark)) > 1 }) // the command itself is one
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if len(living(t, mark)) == 0 {
				t.Fatal("nothing has outlived the command: the fault proves nothing")
			}

			if got := h.attune(0, "run", "core.echo", "message=next", "-q"); got != "next\n" {
				t.Errorf("the next command wrote %q", got)
			}
			if left := living(t, mark); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if shown := h.attune(0, "execution", "show", "1"); !strings.Contains(shown, "abandoned") {
				t.Errorf("the execution of the killed command:\n%s", shown)
			}
			if list := h.attune(0, "worker", "list", "-o", "json"); strings.Contains(list, `"name"`) {
				t.Errorf("workers of commands stay: %s", list)
			}
			if left, err := os.ReadDir(filepath.Join(h.dir, "workers")); len(left) > 0 {
				t.Errorf("homes of workers stay: %v %v", left, err)
			}
		})
	}
}

// TestKilledAtAnyMoment kills servers while executions are submitted, placed, claimed and finished, again and again: in
// the end each of them has one final state.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		mark := newMark()
		known := map[int64]bool{}
		for round := range 5 {
			s := h.up()
			var group errgroup.Group
			ids := make(chan int64, 1000)
			for range 4 {
				group.Go(func() error {
					for {
						e, err := s.Submit(t.Context(), script(`echo one; env -i setsid sleep 0.2 & exit 0 # `+mark, nil))
						if err != nil {
							return nil //nolint:nilerr // the server was killed, which is what this is about
						}
						ids <- e.ID
					}
				})
			}
			for range 10 + 7*round { // so many are accepted before the blow
				known[<-ids] = true
			}
			s.kill()
			_ = group.Wait()
			close(ids)
			for id := range ids {
				known[id] = true
			}
		}
		s := h.up()
		for id := range known {
			e, err := s.WaitExecution(t.Context(), id)
			if err != nil || e.Status != attune.StatusCompleted && e.Status != attune.StatusAbandoned {
				t.Errorf("execution %d: %s %+v %v", id, e.Status, e.Error, err)
			}
		}
		all := everything(t, s.Client)
		for _, e := range all {
			if !e.Status.Final() {
				t.Errorf("execution %d stays %s", e.ID, e.Status)
			}
		}
		if len(all) < len(known) {
			t.Errorf("%d executions were accepted and %d are stored", len(known), len(all))
		}
	})
}

func everything(t *testing.T, c *client.Client) []attune.ExecutionSummary {
	t.Helper()
	var all []attune.ExecutionSummary
	filter := client.Filter{Limit: 500}
	for {
		page, err := c.Executions(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if page.NextCursor == "" {
			return all
		}
		filter.Cursor = page.NextCursor
	}
}

// TestShutdownInGoodOrder lets what runs end, and takes nothing new.
func TestShutdownInGoodOrder(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=1")
		s := h.up()
		ends := h.submit(s.Client, script(`echo begun; until [ -e "$PARAM_HOLD" ]; do sleep 0.02; done; echo done`,
			map[string]string{"hold": h.hold}))
		h.becomes(s.Client, ends, attune.StatusRunning)
		waits := h.submit(s.Client, echo("later"))
		h.signal(s.worker, syscall.SIGTERM)
		const says = "waiting up to 30s for 1 execution that runs"
		h.eventually("it says that it waits", func() bool { return strings.Contains(s.worker.log.String(), says) })
		if err := os.WriteFile(h.hold, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		<-s.worker.ended
		if got := exitStatus(s.worker.err); got != 0 {
			t.Errorf("exit status %d\n%s", got, s.worker.log)
		}
		if s.server != s.worker {
			h.signal(s.server, syscall.SIGTERM)
			<-s.server.ended
			if text := s.server.log.String(); !strings.Contains(text, "terminated: ending\n") || strings.Contains(text, "waiting") {
				t.Errorf("nothing runs in a server, and it says\n%s", text)
			}
		}
		s.kill()
		again := h.up()
		if e := h.becomes(again.Client, ends, attune.StatusCompleted); h.output(again.Client, ends) != "begun\ndone\n" {
			t.Errorf("%+v", e)
		}
		h.becomes(again.Client, waits, attune.StatusCompleted)
	})
}

// TestSecondSignalHurries ends what ignores SIGTERM at once, although there is a long grace.
func TestSecondSignalHurries(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as, "ATTUNE__WORKER__KILL_GRACE=3600", "ATTUNE__WORKER__SHUTDOWN_TIMEOUT=3600")
		s := h.up()
		mark := newMark()
		id := h.submit(s.Client, script(wild[1], map[string]string{"mark": mark}))
		h.eventually("it runs", func() bool { return len(living(t, mark)) > 0 })
		for _, answer := range []string{"waiting up to", ""} {
			h.signal(s.worker, syscall.SIGTERM)
			h.eventually(answer, func() bool { return strings.Contains(s.worker.log.String(), answer) })
		}
		<-s.worker.ended
		if left := living(t, mark); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		s.kill()
		h.becomes(h.up().Client, id, attune.StatusAbandoned)
	})
}
