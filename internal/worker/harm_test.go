package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/worker"
)

// harms are actions that would take their host with them. MARK is in the command line of whatever they leave.
var harms = []struct {
	what, name, script string
	limits             attune.Limits
	timeout            float64 // seconds
	kind               attune.FailureKind
	says               string
}{
	{
		what: "a fork bomb", name: "a.sh", script: `f() { setsid sleep MARK & f | f & }; f; sleep 1`,
		limits: attune.Limits{PIDs: 50}, kind: attune.FailureLimit, says: "pids: ",
	},
	{
		what: "a fork bomb that stays", name: "a.sh", script: `trap '' TERM; f() { sleep MARK & f | f & }; f; wait; sleep MARK`,
		limits: attune.Limits{PIDs: 50}, timeout: 0.7, kind: attune.FailureTimeout, says: "pids: ",
	},
	{
		what: "a memory hog", name: "a.py", script: "def run():\n    x = bytearray(300 << 20)\n    for i in range(0, len(x), 4096): x[i] = 1\n",
		limits: attune.Limits{Memory: 100 << 20}, kind: attune.FailureOOM, says: "out of memory: ",
	},
	{
		what: "a memory hog that is a child", name: "a.sh", script: `python3 -c 'x = bytearray(b"x" * (300 << 20))' || true`,
		limits: attune.Limits{Memory: 100 << 20}, kind: attune.FailureOOM, says: "out of memory: ",
	},
	{
		what: "a disk filler", name: "a.sh", script: `for i in $(seq 1000); do head -c 1M /dev/zero > $TMPDIR/$i; done; sleep MARK`,
		limits: attune.Limits{Disk: 8 << 20}, kind: attune.FailureLimit, says: "disk: its directories take",
	},
	{
		what: "a disk filler behind closed doors", name: "a.sh",
		script: `mkdir d; for i in $(seq 1000); do head -c 1M /dev/zero > d/$i; done; chmod 0 d; sleep MARK`,
		limits: attune.Limits{Disk: 8 << 20}, kind: attune.FailureLimit, says: "disk: ",
	},
	{
		what: "a file that grows", name: "a.sh", script: `cat /dev/zero > "$ATTUNE_ARTIFACTS_DIR/big"`,
		limits: attune.Limits{Disk: 8 << 20}, kind: attune.FailureLimit, says: "disk: ",
	},
	{
		what: "one that hides", name: "a.sh", kind: attune.FailureExit, says: "exit status 3",
		script: `env -i setsid bash -c 'exec -a kworker bash -c "trap : TERM; (setsid sleep MARK &) ; sleep MARK" </dev/null >/dev/null 2>&1 &'; sleep 0.2; exit 3`,
	},
	{
		what: "one that ignores every signal", name: "a.py", timeout: 0.5, kind: attune.FailureTimeout, says: "its time was up",
		script: `import signal, time, subprocess
for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(s, signal.SIG_IGN)
subprocess.Popen(["sleep", "MARK"], start_new_session=True)
while True: time.sleep(1)
`,
	},
	{
		what: "one that makes its directories unreadable", name: "a.sh", kind: attune.FailureExit, says: "exit status 4",
		script: `mkdir -p a/b; touch a/b/c; chmod 0 a/b a . "$HOME" "$TMPDIR"; chattr +i a/b/c a/b || true; chattr +a a || true; exit 4`,
	},
}

func TestHarmfulActionsHarmNobody(t *testing.T) { //nolint:paralleltest // its fork bombs would be the other tests' neighbours
	h := newHost(t, func(c *worker.Config) {
		c.Slots, c.KillGrace = len(harms)+1, 100*time.Millisecond
	}).start()
	mark := strconv.Itoa(7_000_000 + os.Getpid())
	neighbour := h.submit("n.sh", `for i in $(seq 30); do sleep 0.1; echo $i > beat; done; cat beat`, `{}`, nil)
	h.place()
	mechanism, err := h.processes.Mechanism()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, harm := range harms {
		if lacks, err := h.processes.Lacking(process.Limits(harm.limits)); err != nil || len(lacks) > 0 {
			t.Logf("%s: not limited on this host: %v %v", harm.what, lacks, err)
			continue
		}
		all.Go(func() {
			m := fmt.Sprintf("%s.%d", mark, i)
			id := h.submit(harm.name, strings.ReplaceAll(harm.script, "MARK", m), `{}`, func(a *attune.Action) {
				a.Limits, a.TimeoutSeconds = harm.limits, harm.timeout
			})
			row := h.until(id, func(s attune.Status) bool {
				h.place() // again: of those who place at once, one may see what another has just placed
				return s.Final()
			})
			if row.Error == nil || row.Error.Kind != harm.kind || !strings.Contains(row.Error.Message, harm.says) {
				t.Errorf("%s: %s %+v", harm.what, row.Status, row.Error)
			}
			// A subreaper alone can't tell whose an orphan is while several run.
			if left := commandsWith(t, m); len(left) > 0 && mechanism != process.Subreaper {
				t.Errorf("%s leaves %q", harm.what, left)
			}
		})
	}
	all.Wait()
	if row := h.until(neighbour, attune.Status.Final); row.Status != attune.StatusCompleted || h.read(fmt.Sprintf("execution_%d/stdout.log", neighbour)) != "30\n" {
		t.Errorf("the neighbour: %s %+v", row.Status, row.Error)
	}
	if err := h.end(); err != nil {
		t.Error(err)
	}
	if left := commandsWith(t, mark); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, name := range []string{"tasks", "spare", "processes"} {
		if left, _ := os.ReadDir(filepath.Join(h.dir, "workers", "w", name)); len(left) > 0 {
			t.Errorf("%s: %v", name, left)
		}
	}
}

// commandsWith lists the processes that have a text on their command line.
func commandsWith(t *testing.T, text string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), text) {
			found = append(found, file+" "+string(line))
		}
	}
	return found
}

func TestLimitsAreTheActionsElseTheWorkers(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) {
		c.Resources, c.MaxResources = attune.Limits{OpenFiles: 100}, attune.Limits{OpenFiles: 200, FileSize: 1 << 20}
	}).start()
	for asked, want := range map[int]string{0: "100\n1024\n", 150: "150\n1024\n", 201: "resources.open_files 201, at most 200"} {
		id := h.submit("a.sh", `ulimit -n; ulimit -f`, `{}`, func(a *attune.Action) { a.Limits.OpenFiles = asked })
		h.place()
		row := h.until(id, attune.Status.Final)
		if row.Status != attune.StatusCompleted {
			if row.Error.Kind != attune.FailureSetup || !strings.Contains(row.Error.Message, want) {
				t.Errorf("%d: %+v", asked, row.Error)
			}
		} else if out := h.read(fmt.Sprintf("execution_%d/stdout.log", id)); out != want {
			t.Errorf("%d: %q, want %q", asked, out, want)
		}
	}
}

// TestWhatIsNotLimitedIsSaid runs on the one mechanism that every host has, which keeps no limits by itself.
func TestWhatIsNotLimitedIsSaid(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Resources = attune.Limits{Memory: 1 << 30, PIDs: 100} }).start()
	id := h.submit("a.sh", `true`, `{}`, nil)
	h.place()
	h.untilIs(id, attune.StatusCompleted)
	lacks, err := h.processes.Lacking(process.Limits(h.cfg.Resources))
	if err != nil {
		t.Fatal(err)
	}
	text := h.read(fmt.Sprintf("execution_%d/stderr.log", id))
	for _, limit := range []process.Limit{process.LimitMemory, process.LimitPIDs} {
		if said := strings.Contains(text, fmt.Sprintf("attune: resources.%s is not kept on this host: ", limit)); said != (lacks[limit] != nil) {
			t.Errorf("%s: lacking %v, and the log has %q", limit, lacks[limit], text)
		}
	}
}

func TestTheRecordSaysHowItsProcessesEnded(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.KillGrace = 200 * time.Millisecond }).start()
	for script, want := range map[string]string{
		`true`:                         "none, 0 killed",
		`sleep 60 & sleep 60 & exit 0`: "SIGTERM, 0 killed",
		`(trap '' TERM; touch set; exec sleep 60) & until [ -e set ]; do sleep 0.01; done`: "SIGKILL, 1 killed",
		`sleep 60`: "SIGTERM, 0 killed",
		`trap '' TERM; sleep 60 & sleep 60 & while :; do sleep 60; done`: "SIGKILL, 4 killed",
	} {
		id := h.submit("a.sh", script, `{}`, func(a *attune.Action) { a.TimeoutSeconds = 0.5 })
		h.place()
		p := h.until(id, attune.Status.Final).Processes
		if p == nil {
			t.Fatalf("%s: nothing is known", script)
		}
		signal := "none"
		if p.Signal != nil {
			signal = *p.Signal
		}
		if got := fmt.Sprintf("%s, %d killed", signal, p.Killed); got != want || len(p.Survivors) > 0 {
			t.Errorf("%s: %s, want %s; left %q", script, got, want, p.Survivors)
		}
	}
}
