package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/host/hosttest"
)

// first is a daemon that is the first process of a pid namespace, as in a container, and its pid outside of it.
type first struct {
	*daemon
	pid int
}

func (h *host) spawnFirst(args ...string) first {
	h.t.Helper()
	unshare, err := exec.LookPath("unshare")
	hosttest.Needs(h.t, err == nil && os.Geteuid() == 0, "only root can make a pid namespace, with unshare of util-linux")
	cmd := h.command(args...)
	cmd.Args = append([]string{unshare, "--pid", "--fork", "--kill-child", "--mount-proc"}, cmd.Args...)
	cmd.Path = unshare
	f := first{daemon: h.spawnBy(cmd)}
	for _, p := range h.children(cmd.Process.Pid) {
		f.pid = p.pid
	}
	if f.pid == 0 {
		h.t.Fatal("the namespace has no first process")
	}
	return f
}

// child is a process and its state: R, S, Z for a zombie (proc(5)).
type child struct {
	pid   int
	state string
}

func (h *host) children(of int) []child {
	h.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		h.t.Fatal(err)
	}
	var found []child
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(of) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			h.t.Fatal(err)
		}
		found = append(found, child{pid, fields[0]})
	}
	return found
}

// adopted is a script that ends when the first process of its container has got a child that it never started.
const adopted = `setsid bash -c 'sleep "$1" </dev/null >/dev/null 2>&1 & echo $!' x "$PARAM_MARK" >pid
until [ "$(ps -o ppid= -p "$(cat pid)" | tr -d ' ')" = 1 ]; do sleep 0.02; done; echo adopted`

// TestFirstProcessReaps runs a worker as a container does: what its actions leave behind becomes its child.
func TestFirstProcessReaps(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		s := &system{}
		var f first
		if as == embedded {
			f = h.spawnFirst("up")
			s.server = f.daemon
		} else {
			s.server = h.spawn("server")
			f = h.spawnFirst("worker", "--data-dir", h.workerDir("w"), "--name", "w")
		}
		s.Client = h.client(s.server)
		mark := newMark()
		var ids []int64
		for range 5 {
			ids = append(ids, h.submit(s.Client, script(adopted, map[string]string{"mark": mark})))
		}
		for _, id := range ids {
			h.becomes(s.Client, id, attune.StatusCompleted)
			if out := h.output(s.Client, id); out != "adopted\n" {
				t.Errorf("the fault did not fire: %q", out)
			}
		}
		if left := living(t, mark); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		h.eventually("no zombie is left", func() bool { return !strings.Contains(fmt.Sprint(h.children(f.pid)), "Z") })
		if err := syscall.Kill(f.pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if <-f.ended; f.err != nil {
			t.Errorf("%v", f.err)
		}
	})
}
