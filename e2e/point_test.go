package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/attune-automation/attune"
)

// point is where a worker is killed on its way through an execution, and what must come of it.
type point struct {
	name string

	// The test kills it when a transaction of it has come so far.
	statement string
	moment    moment
	// Or the action does, when it has made the file $PARAM_FIRED, by kill.
	action string

	found attune.Status // what the row says when the worker is dead
	acked bool          // the dispatch
	noted bool          // the action runs
	wrote bool          // some of its output
	want  attune.Status // in the end
}

// kill is what an action does at its point.
const kill = `: > "$PARAM_FIRED"; kill -KILL "$PARAM_WORKER"`

// outlive starts a process that is hard to find again, and ends neither by itself nor by SIGTERM.
const outlive = `(trap '' TERM; : > deaf; exec env -i setsid sleep "$PARAM_MARK" </dev/null >/dev/null 2>&1) &
	until [ -e deaf ]; do sleep 0.01; done; `

// write writes half of an action's output, which is more than a pipe holds.
const (
	half  = 300_000
	write = `head -c 300000 /dev/zero | tr '\0' x; `
)

var points = []point{
	{name: "before claim", statement: claiming, moment: beforeStatement, found: attune.StatusScheduled, noted: true, want: attune.StatusCompleted},
	{name: "in the middle of claim", statement: claiming, moment: beforeCommit, found: attune.StatusScheduled, noted: true, want: attune.StatusCompleted},
	{name: "after claim", statement: claiming, moment: afterCommit, found: attune.StatusRunning, want: attune.StatusAbandoned},
	{name: "after acknowledgement", statement: fetching, moment: beforeStatement, found: attune.StatusRunning, acked: true, want: attune.StatusAbandoned},
	{name: "after spawn", action: outlive + kill + `; sleep "$PARAM_MARK"`, found: attune.StatusRunning, acked: true, noted: true, want: attune.StatusAbandoned},
	{
		name: "in the middle of output", found: attune.StatusRunning, acked: true, noted: true, wrote: true, want: attune.StatusAbandoned,
		action: outlive + write + kill + "; " + write + `sleep "$PARAM_MARK"`,
	},
	{ // Whoever is left when the leader has ended is told so, by SIGTERM.
		name: "after exit", found: attune.StatusRunning, acked: true, noted: true, want: attune.StatusAbandoned,
		action: outlive + `{ trap '` + kill + `' TERM; : > here; sleep "$PARAM_MARK" & wait; } </dev/null >/dev/null 2>&1 &
			until [ -e here ]; do sleep 0.01; done; exit 0`,
	},
	{name: "before finish", statement: finishing, moment: beforeStatement, found: attune.StatusRunning, acked: true, noted: true, want: attune.StatusAbandoned},
	{name: "in the middle of finish", statement: finishing, moment: beforeCommit, found: attune.StatusRunning, acked: true, noted: true, want: attune.StatusAbandoned},
	{name: "after finish", statement: finishing, moment: afterCommit, found: attune.StatusCompleted, acked: true, noted: true, want: attune.StatusCompleted},
}

// TestWorkerIsKilled kills a worker at each point of its way through an execution, and starts it again. What it had not
// claimed runs, what it had claimed is abandoned with what it has left, what it had finished stays.
func TestWorkerIsKilled(t *testing.T) {
	t.Parallel()
	all := newWired(t, "ATTUNE__WORKER__MAX_CONCURRENT_TASKS=1")
	all.worker.kill()
	for _, p := range points {
		t.Run(p.name, func(t *testing.T) {
			w := all.in(t)
			w.work(t)
			file, fired, mark := w.hand(p.name), w.hand(p.name+" fired"), newMark()
			var ambush *ambush
			if p.statement != "" {
				ambush = w.statements.lay(p.statement, p.moment)
			}
			id := w.submit(w.Client, noting(file, p.action+" # "+p.name, map[string]string{ // its files are new to the worker
				"mark": mark, "fired": fired, "worker": strconv.Itoa(w.worker.cmd.Process.Pid),
			}))
			if ambush != nil {
				ambush.await(t)
				w.worker.kill()
				ambush.drop()
			}
			w.diedAt(p, id)
			if p.action != "" {
				if _, err := os.Stat(fired); err != nil {
					t.Fatalf("the action did not kill its worker: %v", err)
				}
				w.eventually("a process outlives the worker", func() bool { return len(living(t, mark)) > 0 })
			}

			w.work(t)
			e := w.becomes(w.Client, id, p.want)
			if got := int64(len(w.output(w.Client, id))); p.wrote && got == 0 || got != e.Stdout.Bytes || got >= half*2 {
				t.Errorf("%d bytes of its output are kept, and it says %d", got, e.Stdout.Bytes)
			}
			w.stays(id, p.want, mark)
			if p.noted {
				w.ranOnce(file, id)
			} else {
				w.ranOnce(file)
			}
		})
	}
}

// diedAt waits for the worker's death, and looks at how it has left an execution.
func (w *wired) diedAt(p point, id int64) {
	w.t.Helper()
	select {
	case <-w.worker.ended:
	case <-time.After(patience):
		w.t.Fatal("the worker was not killed")
	}
	var exit *exec.ExitError
	if !errors.As(w.worker.err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.t.Fatalf("the worker was not killed: %v", w.worker.err)
	}
	if e, err := w.Execution(w.t.Context(), id); err != nil || e.Status != p.found {
		w.t.Fatalf("the worker has left it %s, want %s: %v", e.Status, p.found, err)
	}
	w.eventually("its last words have arrived", func() bool { return w.toWorker.countCalls() == 0 })
	if got := w.toWorker.hasAcked(id); got != p.acked {
		w.t.Fatalf("it has acknowledged the dispatch: %v, want %v", got, p.acked)
	}
}
