package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/process"
)

// keeps tells whether the host keeps a limit; if not, it must say why.
func keeps(t *testing.T, s *process.Supervisor, l process.Limits) bool {
	t.Helper()
	lacks, err := s.Lacking(l)
	if err != nil {
		t.Fatal(err)
	}
	for limit, why := range lacks {
		t.Logf("%s is not limited here: %v", limit, why)
	}
	return len(lacks) == 0
}

// runLimited runs a script under limits to its end.
func runLimited(t *testing.T, s *process.Supervisor, l process.Limits, script string) (process.Exit, string) {
	t.Helper()
	var out bytes.Buffer
	c := bash("1", script, &out)
	c.Limits, c.Timeout, c.Grace = l, 20*time.Second, 0
	exit, err := s.Run(context.Background(), c)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	if len(exit.Survivors) > 0 {
		t.Errorf("%s: %v", script, exit.Survivors)
	}
	return exit, out.String()
}

const hog = `python3 -c 'x = bytearray(%d << 20)
for i in range(0, len(x), 4096): x[i] = 1
print("got it")'`

func TestMemoryIsLimited(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		l := process.Limits{Memory: 64 << 20}
		kept := keeps(t, s, l)
		exit, out := runLimited(t, s, l, fmt.Sprintf(hog, 200))
		if kept != (exit.OOMKilled > 0) || kept && exit.PeakMemory < l.Memory*9/10 || kept == strings.Contains(out, "got it") {
			t.Errorf("a hog under 64 MiB: %+v %q", exit, out)
		}
		for _, l := range []process.Limits{{Memory: 256 << 20}, {}} { // what comes next in the same place has limits of its own
			if exit, out := runLimited(t, s, l, fmt.Sprintf(hog, 100)); exit.OOMKilled > 0 || !strings.Contains(out, "got it") {
				t.Errorf("a hog under %d: %+v %q", l.Memory, exit, out)
			}
		}
	})
}

// bomb is a fork bomb whose processes also leave their session.
const bomb = `trap '' TERM; f() { setsid sleep MARK & f | f & }; f; sleep 1`

func TestForkBombIsLimited(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		l := process.Limits{PIDs: 40}
		if !keeps(t, s, l) {
			return // it would take the host with it
		}
		m := mark()
		exit, _ := runLimited(t, s, l, strings.ReplaceAll(bomb, "MARK", m))
		if exit.Refused == 0 {
			t.Errorf("%+v", exit)
		}
		noneLeft(t, m)
		if exit, out := runLimited(t, s, process.Limits{}, `for i in $(seq 60); do sleep 0.2 & done; wait; echo all`); exit.Refused > 0 || out != "all\n" {
			t.Errorf("the next one, without a limit: %+v %q", exit, out)
		}
	})
}

func TestProcessorTimeIsLimited(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		l := process.Limits{CPUs: 0.1}
		if !keeps(t, s, l) {
			return
		}
		exit, _ := runLimited(t, s, l, `end=$(($(date +%s%N) + 1000000000)); while [ $(date +%s%N) -lt $end ]; do :; done`)
		if exit.Code != 0 || exit.CPU > 500*time.Millisecond {
			t.Errorf("a second at a tenth of a processor took %v", exit.CPU)
		}
	})
}

func TestFilesAreLimited(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		file := filepath.Join(t.TempDir(), "big")
		exit, out := runLimited(t, s, process.Limits{FileSize: 1 << 20, OpenFiles: 32},
			`ulimit -f; ulimit -n; ulimit -c; ulimit -Hn; exec head -c 2M /dev/zero > `+file)
		if exit.Signal != "SIGXFSZ" || !strings.HasPrefix(out, "1024\n32\n") || !strings.HasSuffix(out, "\n32\n") {
			t.Errorf("%+v %q", exit, out)
		}
		if exit, out := runLimited(t, s, process.Limits{}, `ulimit -f`); out != "unlimited\n" {
			t.Errorf("the next one: %+v %q", exit, out)
		}
	})
}

func TestCheckEndsACommand(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		full, m := errors.New("full"), mark()
		var ready atomic.Bool
		c := bash("1", `trap '' TERM; sleep `+m+` & echo ready; sleep `+m, &trigger{on: "ready", do: func() { ready.Store(true) }})
		c.Check = func() error {
			if ready.Load() {
				return full
			}
			return nil
		}
		exit, err := s.Run(context.Background(), c)
		if err != nil || exit.Stopped != process.Exceeded || !errors.Is(exit.Cause, full) || exit.Ended != "SIGKILL" {
			t.Errorf("%+v %v", exit, err)
		}
		noneLeft(t, m)
		c = bash("2", "true", io.Discard)
		c.Check = func() error { return full } // it may be over before anybody looks
		if exit, err := s.Run(context.Background(), c); err != nil || exit.Stopped != process.Exceeded || !errors.Is(exit.Cause, full) {
			t.Errorf("%+v %v", exit, err)
		}
	})
}

// TestLimitsAreAsSetForTheNextCommand changes what an action can change that runs as our own user.
func TestLimitsAreAsSetForTheNextCommand(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		l := process.Limits{Memory: 64 << 20, PIDs: 50, CPUs: 1}
		if !keeps(t, s, l) {
			return
		}
		const find = `where() { sed -n "s/^[0-9]*:$1:\(.*\)/\1/p" /proc/self/cgroup; }
memory=/sys/fs/cgroup/memory$(where memory) pids=/sys/fs/cgroup/pids$(where pids)
[ -d $memory ] || memory=$(echo /sys/fs/cgroup$(where '')) pids=$memory; `
		const read = find + `cat $memory/memory.limit_in_bytes $memory/memory.max $pids/pids.max 2>/dev/null`
		before, want := runLimited(t, s, l, read)
		if before.Code > 1 || !strings.Contains(want, "67108864\n") || !strings.Contains(want, "50\n") {
			t.Fatalf("%+v %q", before, want)
		}
		for _, spoil := range []string{
			`true`, `echo max > $pids/pids.max`, `echo -1 > $memory/memory.limit_in_bytes || echo max > $memory/memory.max`,
			`head -c 20M /dev/zero > /dev/shm/MARK`, `mkdir $pids/below`,
		} {
			m := mark()
			runLimited(t, s, l, find+strings.ReplaceAll(spoil, "MARK", m))
			exit, out := runLimited(t, s, l, read+`; rm -f /dev/shm/`+m)
			if out != want {
				t.Errorf("after %s: %+v %q", spoil, exit, out)
			}
		}
	})
}
