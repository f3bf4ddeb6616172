package process_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune/internal/process"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PROCESS_TEST_SUPERVISE"); dir != "" {
		superviseUntilKilled(dir)
	}
	if dir := os.Getenv("PROCESS_TEST_REAP"); dir != "" {
		reaping(dir)
	}
	if os.Getenv("PROCESS_TEST_SHIELD") != "" {
		shielded()
	}
	goleak.VerifyTestMain(m)
}

func bash(id, script string, out io.Writer) process.Command {
	return process.Command{
		ID: id, Path: "/bin/bash", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		Stdout: out, Stderr: out, Grace: 10 * time.Second,
	}
}

// eachMechanism runs a test on every mechanism that this host has. Which ones it has is TestMechanismsOfThisHost's to
// say: the subreaper is everywhere, and a kernel has cgroups of version 2, of version 1, both, or hides them.
func eachMechanism(t *testing.T, test func(t *testing.T, s *process.Supervisor, m process.Mechanism)) {
	t.Helper()
	for _, m := range []process.Mechanism{process.Cgroup2, process.Freezer, process.Subreaper} {
		s := supervisor(t, m)
		if _, err := s.Mechanism(); err != nil && m != process.Subreaper {
			t.Logf("not on this host: %v", err)
			continue
		}
		t.Run(string(m), func(t *testing.T) { test(t, s, m) })
	}
}

// TestMechanismsOfThisHost fails when a mechanism can't be used although the host has it.
func TestMechanismsOfThisHost(t *testing.T) {
	t.Parallel()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	has := map[process.Mechanism]bool{process.Subreaper: true}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // device, place, type, options
		writable := slices.Contains(strings.Split(fields[3], ","), "rw") && os.Geteuid() == 0
		has[process.Cgroup2] = has[process.Cgroup2] || fields[2] == "cgroup2" && writable
		has[process.Freezer] = has[process.Freezer] || fields[2] == "cgroup" && writable && strings.Contains(fields[3], "freezer")
	}
	for mechanism, present := range has {
		if _, err := supervisor(t, mechanism).Mechanism(); present && err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}

func supervisor(tb testing.TB, m process.Mechanism) *process.Supervisor {
	tb.Helper()
	return supervisorIn(tb, tb.TempDir(), m)
}

// supervisorIn returns a supervisor with its records in dir, of which nothing is left when the test has ended.
func supervisorIn(tb testing.TB, dir string, m process.Mechanism) *process.Supervisor {
	tb.Helper()
	s, err := process.New(process.Config{RecordsDir: dir, Mechanism: m})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			tb.Errorf("records left: %v, %v", left, err)
		}
	})
	return s
}

var marks atomic.Int64

// mark is a number of seconds that no other sleep on this machine has: it finds processes by their command line.
func mark() string { return fmt.Sprintf("%d.%d", 9_000_000+os.Getpid(), marks.Add(1)) }

func living(tb testing.TB, mark string) []string {
	tb.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for _, file := range dirs {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte(mark)) && !strings.Contains(file, "/"+strconv.Itoa(os.Getpid())+"/") {
			found = append(found, file+": "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

func noneLeft(tb testing.TB, mark string) {
	tb.Helper()
	if left := living(tb, mark); len(left) > 0 {
		tb.Errorf("left behind: %q", left)
	}
}
