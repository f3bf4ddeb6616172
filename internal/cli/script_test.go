package cli_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/attune-automation/attune/internal/cli"
	"github.com/attune-automation/attune/internal/testserver"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"attune": func() {
			os.Exit(cli.Main(cli.Process{
				Args: os.Args[1:], Environ: os.Environ(), Version: "v0.0.0-test",
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
			}))
		},
	})
}

// TestScripts runs testdata/script: each script has a data directory of its own, and its servers take a free port.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, testserver.QuickExit)
			env.Setenv("ATTUNE_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("ATTUNE__SERVER__LISTEN", "127.0.0.1:0")
			env.Setenv("ATTUNE__WORKER__NAME", "w")
			env.Setenv("ATTUNE__WORKER__KILL_GRACE", "60") // what is to end at once must not wait for this
			return silentServer(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "await": await, "until": until, "signalled": signalled, "lines": lines,
		},
		RequireExplicitExec: true, RequireUniqueNames: true,
	})
}

// silentServer starts a server that takes requests and answers none, as one that was stopped. It makes the file asked
// when the first one has come.
func silentServer(env *testscript.Env) error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	env.Setenv("SILENT_SERVER", "http://"+listener.Addr().String())
	env.Defer(func() { _ = listener.Close() })
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return // closed
		}
		defer func() { _ = connection.Close() }()
		if _, err := connection.Read(make([]byte, 1)); err == nil {
			_ = os.WriteFile(filepath.Join(env.WorkDir, "asked"), nil, 0o600) // else the script waits for it in vain
		}
		_, _ = io.Copy(io.Discard, connection) // until the client leaves
	}()
	return nil
}

// patience bounds every wait for something that is to happen.
const patience = 30 * time.Second

// status N COMMAND… runs a command that must end with this exit status.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitStatus(ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// await FILE waits until a file is there.
func await(ts *testscript.TestScript, neg bool, args []string) {
	poll(ts, args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return (err == nil) != neg
	})
}

// until REGEXP COMMAND… repeats a command until its standard output matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	poll(ts, args[0], func() bool {
		return ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

func poll(ts *testscript.TestScript, what string, is func() bool) {
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			ts.Fatalf("%s: it did not come to pass", what)
		case <-tick.C:
		}
	}
}

// lines N FILE checks how many lines a file has.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[1]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[1], got, want)
	}
}

// signalled STATUS SIGNAL[@WORDS][,SIGNAL] COMMAND… runs a command and sends it the first signal when it has written
// "begun" to its output, or WORDS to its error output, and each further one when it has answered the one before there.
func signalled(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[2], args[3:]...)
	cmd.Path = filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], args[2])
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
	signals, words, _ := strings.Cut(args[1], "@")
	out, answers := newHeard("begun"), newHeard(cmp.Or(words, "once more"))
	cmd.Stdout, cmd.Stderr = out, answers
	ts.Check(cmd.Start())
	heard := out.words
	if words != "" {
		heard = answers.words
	}
	for _, name := range strings.Split(signals, ",") {
		select {
		case <-heard:
		case <-ctx.Done():
			ts.Fatalf("nothing heard; stdout %q, stderr %q", out, answers)
		}
		ts.Check(cmd.Process.Signal(map[string]os.Signal{
			"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP,
		}[name]))
		heard = answers.words
	}
	if got := exitStatus(cmd.Wait()); got != want {
		ts.Fatalf("exit status %d, want %d; stderr %q", got, want, answers)
	}
	ts.Check(os.WriteFile(ts.MkAbs("stderr.txt"), []byte(answers.String()), 0o600))
}

func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "ATTUNE_DATA_DIR", "ATTUNE__SERVER__LISTEN", "ATTUNE__WORKER__NAME", "ATTUNE__WORKER__KILL_GRACE", "GOCOVERDIR",
	} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// heard collects what is written and tells when a word was in it.
type heard struct {
	mu    sync.Mutex
	text  bytes.Buffer
	word  string
	words chan struct{}
	once  sync.Once
}

func newHeard(word string) *heard { return &heard{word: word, words: make(chan struct{})} }

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p)
	if strings.Contains(h.text.String(), h.word) {
		h.once.Do(func() { close(h.words) })
	}
	return len(p), nil
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

var _ io.Writer = (*heard)(nil)
