package process_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/process"
)

func TestSandboxHidesTheHost(t *testing.T) {
	if err := process.FindSandbox(); err != nil {
		t.Fatalf("make setup installs it: %v", err)
	}
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		dir := t.TempDir()
		for _, name := range []string{"work", "other"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
			t.Fatal(err)
		}
		run := func(script string, network bool) (string, process.Exit) {
			t.Helper()
			var out bytes.Buffer
			c := bash("1", script, &out)
			c.Stderr = io.Discard
			c.Dir, c.Timeout = filepath.Join(dir, "work"), 10*time.Second
			c.Sandbox = &process.Sandbox{Hidden: []string{dir, secret}, Writable: []string{c.Dir}, Network: network}
			exit, err := s.Run(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			return out.String(), exit
		}
		for script, want := range map[string]string{
			`pwd; touch here && echo writes`:                       filepath.Join(dir, "work") + "\nwrites\n",
			`ls ` + dir:                                            "work\n",
			`cat ` + secret + ` 2>/dev/null; echo $?`:              "1\n",
			`touch /etc/x /usr/x /x /sys/x 2>/dev/null; echo $?`:   "1\n",
			`: >> /proc/sys/kernel/core_pattern || echo no`:        "no\n",
			`: >> /proc/sysrq-trigger || echo no`:                  "no\n",
			`kill -0 ` + pidText() + ` 2>/dev/null || echo nobody`: "nobody\n",
			`grep -c . /proc/net/dev`:                              "3\n", // two lines of head, and lo
			`grep CapEff /proc/self/status`:                        "CapEff:\t0000000000000000\n",
			`touch /var/tmp/x && ls /var/tmp`:                      "x\n",
			`exit 7`:                                               "",
		} {
			out, exit := run(script, false)
			if out != want || exit.Signal != "" || (exit.Code == 7) != (script == "exit 7") {
				t.Errorf("%s: %q, want %q; %+v", script, out, want, exit)
			}
		}
	})
}

func pidText() string { return filepath.Base(mustReadlink("/proc/self")) }

func mustReadlink(name string) string {
	text, err := os.Readlink(name)
	if err != nil {
		panic(err)
	}
	return text
}

func TestSandboxIsEndedAsAnyOther(t *testing.T) {
	eachMechanism(t, func(t *testing.T, s *process.Supervisor, _ process.Mechanism) {
		for script, want := range map[string]string{
			`trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`: "ready\nbye\n",
			`trap '' TERM; setsid sleep MARK & echo ready; sleep MARK`:               "ready\n",
		} {
			m := mark()
			var out bytes.Buffer
			ctx, stop := context.WithCancelCause(context.Background())
			cancel := func() { stop(nil) }
			c := bash("1", strings.ReplaceAll(script, "MARK", m), &trigger{on: "ready", do: cancel})
			c.Stdout, c.Stderr = writers{&out, c.Stdout}, writers{}
			c.Grace, c.Sandbox = 500*time.Millisecond, &process.Sandbox{}
			exit, err := s.Run(ctx, c)
			cancel() // if nothing was written
			if err != nil || exit.Stopped != process.Cancelled || out.String() != want || len(exit.Survivors) > 0 {
				t.Errorf("%s: %q %+v %v", script, out.String(), exit, err)
			}
			noneLeft(t, m)
		}
	})
}

// writers write to all of them.
type writers []interface{ Write([]byte) (int, error) }

func (w writers) Write(p []byte) (int, error) {
	for _, each := range w {
		if n, err := each.Write(p); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// shielded is the test binary as a process that shields itself, and tells how it then looks.
func shielded() {
	secret := func(name string) bool { return strings.HasPrefix(name, "ATTUNE") }
	if err := process.Shield(secret); err != nil {
		panic(err)
	}
	environ, err := os.ReadFile("/proc/self/environ")
	if err != nil && os.Geteuid() == 0 {
		panic(err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		panic(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stdout, "%s\ncore %d\ndumpable %d\n", environ, core.Max, dumpable)
	if os.Getenv("ATTUNE_TOKEN") == "hush-hush" {
		fmt.Fprintln(os.Stdout, "still known")
	}
	os.Exit(0)
}

// TestShieldedProcess looks at a process that has shielded itself, as another one of its user would.
func TestShieldedProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_SHIELD=1", "ATTUNE_TOKEN=hush-hush", "OTHER=shown")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if strings.Contains(text, "hush") || !strings.Contains(text, "ATTUNE_TOKEN=xxxxxxxxx") || !strings.Contains(text, "OTHER=shown") ||
		!strings.Contains(text, "core 0\n") || !strings.Contains(text, "dumpable 0\n") || !strings.Contains(text, "still known\n") {
		t.Errorf("%q", text)
	}
}
