package process_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
	goleak.VerifyTestMain(m)
}

// superviseUntilKilled is the test binary as a supervisor that the test kills.
func superviseUntilKilled(dir string) {
	s, err := process.New(process.Config{
		RecordsDir: dir, Mechanism: process.Mechanism(os.Getenv("PROCESS_TEST_MECHANISM")),
	})
	if err != nil {
		panic(err)
	}
	_, err = s.Run(context.Background(), bash("victim", os.Getenv("PROCESS_TEST_SCRIPT"), os.Stdout))
	fmt.Println("ended", err)
	os.Exit(1)
}

func bash(id, script string, out io.Writer) process.Command {
	return process.Command{
		ID: id, Path: "/bin/bash", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		Stdout: out, Stderr: out, Grace: 10 * time.Second,
	}
}

// eachMechanism runs a test on every mechanism; one that this host lacks fails the test in CI.
func eachMechanism(t *testing.T, test func(t *testing.T, s *process.Supervisor, m process.Mechanism)) {
	t.Helper()
	for _, m := range []process.Mechanism{process.Cgroup2, process.Freezer, process.Subreaper} {
		t.Run(string(m), func(t *testing.T) {
			s := supervisor(t, m)
			if _, err := s.Mechanism(); err != nil {
				if m == process.Subreaper {
					t.Fatal(err)
				}
				t.Skipf("this host lacks it: %v", err)
			}
			test(t, s, m)
		})
	}
}

func supervisor(t testing.TB, m process.Mechanism) *process.Supervisor {
	t.Helper()
	s, err := process.New(process.Config{RecordsDir: t.TempDir(), Mechanism: m})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var marks atomic.Int64

// mark is a number of seconds that no other sleep on this machine has: it finds processes by their command line.
func mark() string { return fmt.Sprintf("%d.%d", 9_000_000+os.Getpid(), marks.Add(1)) }

func living(t testing.TB, mark string) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
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

func noneLeft(t testing.TB, mark string) {
	t.Helper()
	if left := living(t, mark); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestExitCodeSignalAndOutput(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		var out bytes.Buffer
		exit, err := s.Run(context.Background(), bash("1", `printf 'a\0b\xff'; exit 7`, &out))
		if err != nil || exit.Code != 7 || exit.Signal != "" || exit.Stopped != process.NotStopped {
			t.Errorf("%+v, %v", exit, err)
		}
		if out.String() != "a\x00b\xff" {
			t.Errorf("output %q", out.String())
		}
		exit, err = s.Run(context.Background(), bash("2", `kill -USR1 $$`, io.Discard))
		if err != nil || exit.Signal != "SIGUSR1" || exit.Code != -1 {
			t.Errorf("%+v, %v", exit, err)
		}
		if exit.MaxRSS <= 0 {
			t.Errorf("no peak memory in %+v", exit)
		}
	})
}

func TestTimeoutEndsWhatIgnoresTERM(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		m := mark()
		c := bash("1", `trap '' TERM; (trap '' TERM; sleep `+m+`) & sleep `+m+`; sleep `+m, io.Discard)
		c.Timeout, c.Grace = 300*time.Millisecond, 200*time.Millisecond
		exit, err := s.Run(context.Background(), c)
		if err != nil || exit.Stopped != process.TimedOut || exit.Signal != "SIGKILL" || exit.Killed < 2 {
			t.Errorf("%+v, %v", exit, err)
		}
		noneLeft(t, m)
	})
}

func TestCancelEndsWithItsCause(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		m := mark()
		why := errors.New("somebody asked")
		ctx, cancel := context.WithCancelCause(context.Background())
		out := &trigger{on: "ready", do: func() { cancel(why) }}
		exit, err := s.Run(ctx, bash("1", `echo ready; exec sleep `+m, out))
		if err != nil || exit.Stopped != process.Cancelled || !errors.Is(exit.Cause, why) || exit.Signal != "SIGTERM" {
			t.Errorf("%+v, %v", exit, err)
		}
		noneLeft(t, m)
		if _, err := s.Run(ctx, bash("2", `true`, io.Discard)); !errors.Is(err, why) {
			t.Errorf("a context that has ended: %v", err)
		}
	})
}

// trigger calls do when it has seen a word.
type trigger struct {
	seen bytes.Buffer
	on   string
	do   func()
}

func (w *trigger) Write(p []byte) (int, error) {
	w.seen.Write(p)
	if w.do != nil && strings.Contains(w.seen.String(), w.on) {
		w.do()
		w.do = nil
	}
	return len(p), nil
}

const daemonise = `env -i setsid bash -c 'trap "" TERM HUP; (env -i setsid sleep MARK </dev/null >/dev/null 2>&1 &) ; exit 0' `

func TestDoubleForkWithoutEnvironmentIsEnded(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		m := mark()
		script := strings.ReplaceAll(daemonise, "MARK", m) + `; while ! pgrep -f "sleep ` + m + `" >/dev/null; do :; done; exit 3`
		exit, err := s.Run(context.Background(), bash("1", script, io.Discard))
		if err != nil || exit.Code != 3 {
			t.Errorf("%+v, %v", exit, err)
		}
		noneLeft(t, m)
	})
}

func TestChildThatHoldsThePipeIsEnded(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		m := mark()
		var out bytes.Buffer
		exit, err := s.Run(context.Background(), bash("1", `trap '' TERM; sleep `+m+` & echo done`, &out))
		if err != nil || exit.Code != 0 || out.String() != "done\n" || exit.OutputHeld {
			t.Errorf("%+v, %v, %q", exit, err, out.String())
		}
		noneLeft(t, m)
	})
}

func TestForkStormIsEnded(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		m := mark()
		c := bash("1", `trap '' TERM; f() { for i in 1 2 3 4 5 6; do (trap '' TERM; sleep 0.05; sleep `+m+`) & done; wait; }; f`, io.Discard)
		c.Timeout, c.Grace = 150*time.Millisecond, 0
		exit, err := s.Run(context.Background(), c)
		if err != nil || exit.Stopped != process.TimedOut {
			t.Errorf("%+v, %v", exit, err)
		}
		noneLeft(t, m)
	})
}

func TestUnreadInputDoesNotHang(t *testing.T) {
	t.Parallel()
	s := supervisor(t, process.Auto)
	c := bash("1", `echo ok`, io.Discard)
	c.Stdin = bytes.Repeat([]byte("x"), 1<<20)
	if exit, err := s.Run(context.Background(), c); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	sum := sha256.New()
	c = bash("2", `cat`, sum)
	c.Stdin = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if _, err := s.Run(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(c.Stdin); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("what was written did not come back")
	}
}

func TestGigabyteOfOutputIsBounded(t *testing.T) {
	t.Parallel()
	s := supervisor(t, process.Auto)
	var kept bytes.Buffer
	out := process.NewCapture(&kept, 64<<10)
	exit, err := s.Run(context.Background(), bash("1", `head -c 1G /dev/zero; printf 'the end'`, out))
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if out.Bytes() != 1<<30+7 || kept.Len() > 64<<10 || !bytes.HasSuffix(kept.Bytes(), []byte("the end")) {
		t.Errorf("%d written, %d kept", out.Bytes(), kept.Len())
	}
	marker := fmt.Sprintf("[attune: %d bytes are missing here]", out.Dropped())
	if !bytes.Contains(kept.Bytes(), []byte(marker)) {
		t.Errorf("no line %q", marker)
	}
}

func TestStartErrorsAreTyped(t *testing.T) {
	t.Parallel()
	s := supervisor(t, process.Auto)
	for name, c := range map[string]process.Command{
		"no file":      {ID: "1", Path: "/no/such/program", Dir: "/"},
		"no directory": {ID: "2", Path: "/bin/true", Dir: "/no/such/directory"},
		"no program":   {ID: "3", Path: "/etc/passwd", Dir: "/"},
	} {
		_, err := s.Run(context.Background(), c)
		var start *process.StartError
		if !errors.As(err, &start) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOwnDirectoryRemoved(t *testing.T) {
	t.Parallel()
	c := bash("1", `rm -rf "$PWD"; echo gone`, io.Discard)
	c.Dir = filepath.Join(t.TempDir(), "work")
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if exit, err := supervisor(t, process.Auto).Run(context.Background(), c); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestEnvironmentAndDescriptorsAreClean(t *testing.T) {
	t.Parallel()
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = leak.Close() }()
	var out bytes.Buffer
	c := process.Command{
		ID: "1", Path: "/usr/bin/env", Dir: "/", Stdout: &out, Stderr: &out,
		Args: []string{"/bin/bash", "-c", `echo /proc/self/fd/*; tty; ps -o sid= -p $$ | grep -qw $$ && echo leads`},
	}
	if _, err := supervisor(t, process.Auto).Run(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "/fd/4") || !strings.Contains(text, "not a tty") || !strings.Contains(text, "leads") {
		t.Errorf("%s", text)
	}
	out.Reset()
	c = process.Command{ID: "2", Path: "/usr/bin/env", Dir: "/", Stdout: &out, Stderr: &out}
	if _, err := supervisor(t, process.Auto).Run(context.Background(), c); err != nil || out.Len() > 0 {
		t.Errorf("environment %q, %v", out.String(), err)
	}
}

func TestHurryEndsTheGrace(t *testing.T) {
	t.Parallel()
	s := supervisor(t, process.Auto)
	m := mark()
	c := bash("1", `trap '' TERM; echo ready; sleep `+m+`; sleep `+m, nil)
	ctx, cancel := context.WithCancelCause(context.Background())
	c.Stdout = &trigger{on: "ready", do: func() { cancel(nil); s.Hurry() }}
	c.Stderr, c.Grace = io.Discard, time.Hour
	exit, err := s.Run(ctx, c)
	if err != nil || exit.Signal != "SIGKILL" {
		t.Errorf("%+v, %v", exit, err)
	}
	noneLeft(t, m)
}

func TestManyAtOnceKeepApart(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		const n = 20
		results := make(chan error, n)
		for i := range n {
			go func() {
				var out bytes.Buffer
				exit, err := s.Run(context.Background(), bash(strconv.Itoa(i), fmt.Sprintf("sleep 0.0%d; echo %d; exit %d", i, i, i), &out))
				if err == nil && (exit.Code != i || out.String() != fmt.Sprintln(i)) {
					err = fmt.Errorf("%d: %+v %q", i, exit, out.String())
				}
				results <- err
			}()
		}
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestLeftoversOfAKilledSupervisorAreEnded(t *testing.T) {
	eachMechanism(t, func(t *testing.T, _ *process.Supervisor, mech process.Mechanism) {
		m := mark()
		dir := t.TempDir()
		script := `trap '' TERM; sleep ` + m + ` & `
		if mech != process.Subreaper { // what hides after our death is beyond session and start time
			script += strings.ReplaceAll(daemonise, "MARK", m) + `; `
		}
		script += `while [ $(pgrep -c -f "sleep ` + m + `") -lt 2 ]; do sleep ` + m + ` & done; echo ready; sleep ` + m
		killSupervisor(t, dir, script, mech)
		if len(living(t, m)) < 2 {
			t.Fatal("the fault did not fire: nothing was left")
		}
		s, err := process.New(process.Config{RecordsDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ended, err := s.EndLeftovers(context.Background())
		if err != nil || len(ended) != 1 || ended[0].ID != "victim" {
			t.Errorf("%v, %v", ended, err)
		}
		noneLeft(t, m)
		if again, err := s.EndLeftovers(context.Background()); err != nil || len(again) != 0 {
			t.Errorf("a second time: %v, %v", again, err)
		}
	})
}

func killSupervisor(t *testing.T, dir, script string, m process.Mechanism) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_SUPERVISE="+dir, "PROCESS_TEST_SCRIPT="+script, "PROCESS_TEST_MECHANISM="+string(m))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 5)
	if _, err := io.ReadFull(out, word); err != nil || string(word) != "ready" {
		t.Fatalf("%q %v", word, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it should be
}

func TestRecordOfAnotherProcessKillsNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bystander := exec.Command("/bin/sleep", mark())
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		// the pid is the bystander's, the start time a later one's
		fmt.Sprintf(`{"id":"a","boot_id":%q,"family":{"mechanism":"subreaper","pid":%d,"start":99999999999}}`, strings.TrimSpace(string(boot)), bystander.Process.Pid),
		fmt.Sprintf(`{"id":"b","boot_id":"another","family":{"mechanism":"subreaper","pid":%d,"start":1}}`, bystander.Process.Pid),
		`{"id":"half`,
	} {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := process.New(process.Config{RecordsDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := s.EndLeftovers(context.Background()); err != nil || len(ended) != 0 {
		t.Errorf("%v, %v", ended, err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/cmdline", bystander.Process.Pid)); err != nil {
		t.Error("the bystander is gone")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("records left: %v, %v", left, err)
	}
}
