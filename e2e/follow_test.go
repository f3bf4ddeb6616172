package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/testserver"
)

// bothStreams writes to both streams as files appear, many lines while nobody follows, and fails.
const bothStreams = `echo begun; echo begun >&2
until [ -e "$PARAM_HOLD.1" ]; do sleep 0.02; done
seq 30000; seq 5000 >&2; : >"$PARAM_HOLD.written"
until [ -e "$PARAM_HOLD.2" ]; do sleep 0.02; done
echo end; echo end >&2; exit 7
`

// following is a command that follows an execution.
type following struct {
	cmd            *exec.Cmd
	stdout, stderr *log
}

func (h *host) following(args ...string) *following {
	h.t.Helper()
	f := &following{cmd: h.command(args...), stdout: newLog(), stderr: newLog()}
	f.cmd.Stdout, f.cmd.Stderr = f.stdout, f.stderr
	if err := f.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.eventually("the output is followed", func() bool { return strings.HasPrefix(f.stdout.String(), "begun\n") })
	return f
}

// ends waits for the end of the command.
func (f *following) ends(t *testing.T, status int, stdout string, stderr func(string) bool) {
	t.Helper()
	if got := exitStatus(f.cmd.Wait()); got != status {
		t.Errorf("%s: exit status %d, want %d", f.cmd, got, status)
	}
	if got := f.stdout.String(); got != stdout {
		t.Errorf("%s wrote %d bytes, want %d: %s", f.cmd, len(got), len(stdout), head(got))
	}
	if got := f.stderr.String(); !stderr(got) {
		t.Errorf("%s wrote to stderr: %s", f.cmd, head(got))
	}
}

// runsBehindAServer has a command run bothStreams through a server that can be started again at its address.
func runsBehindAServer(t *testing.T) (*host, *system, *following) {
	t.Helper()
	port, err := testserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, production, fmt.Sprintf("ATTUNE__SERVER__LISTEN=127.0.0.1:%d", port))
	s := h.up()
	file := h.hand("both.sh")
	if err := os.WriteFile(file, []byte(bothStreams), 0o600); err != nil {
		t.Fatal(err)
	}
	return h, s, h.following("run", file, "hold="+h.hold)
}

// TestFollowersOutliveTheServer kills the server under commands that follow an execution, and starts it again.
func TestFollowersOutliveTheServer(t *testing.T) {
	t.Parallel()
	h, s, run := runsBehindAServer(t)
	page, err := s.Executions(t.Context(), client.Filter{Limit: 1})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	id := strconv.FormatInt(page.Items[0].ID, 10)
	logs := h.following("execution", "logs", id, "-f")
	quiet := h.following("execution", "logs", id, "-f", "-q", "--stream", "stdout")

	h.signal(s.server, syscall.SIGKILL)
	<-s.server.ended
	for _, f := range []*following{run, logs} {
		h.eventually("it says that it is broken off", func() bool { return strings.Contains(f.stderr.String(), "broke off (") })
	}
	h.touch(h.hold + ".1")
	h.eventually("all is written", func() bool { _, err := os.Stat(h.hold + ".written"); return err == nil })
	s.server = h.spawn("server")
	for _, f := range []*following{run, logs} {
		h.eventually("it goes on", func() bool { return strings.HasSuffix(f.stdout.String(), "\n30000\n") })
	}
	h.touch(h.hold + ".2")

	stdout, stderr := "begun\n"+upTo(30000)+"end\n", "begun\n"+upTo(5000)+"end\n"
	told := func(got string) bool {
		notes := strings.Join(note.FindAllString(got, -1), "")
		return note.ReplaceAllString(got, "") == stderr && strings.Count(notes, "broke off (") == 1 && strings.Count(notes, "goes on") == 1
	}
	run.ends(t, 1, stdout, told)
	logs.ends(t, 0, stdout, told)
	quiet.ends(t, 0, stdout, func(got string) bool { return got == "" })
	h.becomes(h.client(s.server), page.Items[0].ID, attune.StatusFailed)
}

// TestCancelOutlivesTheServer interrupts a command while its server is away.
func TestCancelOutlivesTheServer(t *testing.T) {
	t.Parallel()
	h, s, run := runsBehindAServer(t)
	h.signal(s.server, syscall.SIGKILL)
	<-s.server.ended
	if err := run.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	h.eventually("the request meets no server", func() bool {
		_, after, asked := strings.Cut(run.stderr.String(), "cancelling execution")
		return asked && strings.Contains(after, "can't reach the server")
	})
	s.server = h.spawn("server")
	run.ends(t, 130, "begun\n", func(got string) bool { return strings.Contains(got, " cancelled after ") })
}

// note is what a command itself says, perhaps in the middle of a line of the action's.
var note = regexp.MustCompile(`attune: .*\n`)

// upTo is what seq writes.
func upTo(last int) string {
	var text strings.Builder
	for n := range last {
		fmt.Fprintln(&text, n+1)
	}
	return text.String()
}
