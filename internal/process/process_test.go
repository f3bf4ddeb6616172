package process_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/process"
)

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
	})
}

// TestPeakMemoryIsTheActionsOwn starts small and large programs from a process that is larger than the small ones.
func TestPeakMemoryIsTheActionsOwn(t *testing.T) {
	const mib = 1 << 20
	ballast := bytes.Repeat([]byte{1}, 64*mib)
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		small, err := s.Run(context.Background(), bash("1", `sleep 0.1`, io.Discard))
		if err != nil || small.MaxRSS <= 0 || small.MaxRSS > 16*mib {
			t.Errorf("a bash that sleeps: %d bytes, %v", small.MaxRSS, err)
		}
		large, err := s.Run(context.Background(), bash("2", `dd if=/dev/zero of=/dev/null bs=300M count=1; exit`, io.Discard))
		if err != nil || large.MaxRSS < 300*mib {
			t.Errorf("a bash whose child holds 300 MiB: %d bytes, %v", large.MaxRSS, err)
		}
		grown := bytes.Repeat([]byte{1}, 4*mib) // since we looked at ourselves
		short, err := s.Run(context.Background(), bash("3", `:`, io.Discard))
		if err != nil || short.MaxRSS <= 0 || short.MaxRSS > 16*mib {
			t.Errorf("a bash that does nothing: %d bytes, %v", short.MaxRSS, err)
		}
		runtime.KeepAlive(grown)
	})
	runtime.KeepAlive(ballast)
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

func TestOneLineOfFiftyMegabytesWithAnyBytes(t *testing.T) {
	t.Parallel()
	s := supervisor(t, process.Auto)
	var line bytes.Buffer
	const script = `printf 'NUL \000, invalid UTF-8 \377\376, '; head -c 50M /dev/zero | tr '\0' x`
	if _, err := s.Run(context.Background(), bash("1", script, &line)); err != nil {
		t.Fatal(err)
	}
	const head = "NUL \x00, invalid UTF-8 \xff\xfe, "
	text := line.Bytes()
	if len(text) != len(head)+50<<20 || !bytes.HasPrefix(text, []byte(head)) || bytes.Count(text, []byte("x")) != 50<<20 {
		t.Errorf("%d bytes, beginning with %q", len(text), text[:min(len(text), 40)])
	}
}
