package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/host/hosttest"
	"github.com/attune-automation/attune/internal/process"
)

// reaping makes the test binary the first process of a container, or a subreaper, which reaps while it runs a command
// that leaves orphans behind. It is a process of its own because all that it does concerns every child of a process.
func reaping(dir string) {
	s, err := process.New(process.Config{RecordsDir: dir, Mechanism: process.Mechanism(os.Getenv("PROCESS_TEST_MECHANISM"))})
	if err != nil {
		panic(err)
	}
	if _, err := s.Mechanism(); err != nil { // it is found at first use
		panic(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Reap(ctx) }()
	// Started without the supervisor's knowledge, and waited for at once, as by a library.
	for range 20 {
		if err := exec.Command("/bin/true").Run(); err != nil {
			panic(err)
		}
	}
	// An orphan that nobody knows: its parent is a child that was started by others, in our own session.
	orphan, err := exec.Command("/bin/bash", "-c", `sleep 0.2 >/dev/null 2>&1 & echo $!`).Output()
	if err != nil {
		panic(err)
	}
	await("it is adopted", func() bool { return parent(strings.TrimSpace(string(orphan))) == os.Getpid() })
	for range 100 { // of whatever length: each must have its exit status
		exit, err := s.Run(ctx, bash("own", `setsid sleep 0.01 & exit 7`, io.Discard))
		if err != nil || exit.Code != 7 {
			panic(fmt.Sprintf("%+v %v", exit, err))
		}
	}
	await("it is reaped", func() bool { return parent(strings.TrimSpace(string(orphan))) == 0 })
	await("no other is left", func() bool {
		children, err := exec.Command("/bin/ps", "-o", "stat=", "--ppid", strconv.Itoa(os.Getpid())).Output()
		return err == nil && !strings.Contains(string(children), "Z")
	})
	stop(errors.New("the test has ended"))
	if err := errors.Join(<-ended, s.Close()); err != nil {
		panic(err)
	}
	os.Exit(0)
}

func await(what string, is func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			panic(what + ": it did not come to pass")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// parent returns the parent's pid, or 0 if there is no such process.
func parent(pid string) int {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	n, err := strconv.Atoi(strings.Fields(rest)[1])
	if err != nil {
		panic(err)
	}
	return n
}

func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, m process.Mechanism) {
		cmd := exec.Command("/usr/bin/unshare", "--pid", "--fork", "--kill-child", "--mount-proc", os.Args[0])
		if m == process.Subreaper {
			cmd = exec.Command(os.Args[0])
		} else {
			hosttest.Needs(t, os.Geteuid() == 0, "only root can be the first process of a pid namespace")
		}
		cmd.Env = append(os.Environ(), "PROCESS_TEST_REAP="+t.TempDir(), "PROCESS_TEST_MECHANISM="+string(m))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
