package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// elsewhere is a system whose worker is on another machine, as far as files go.
func elsewhere(h *host) *system {
	h.t.Helper()
	s := &system{server: h.spawn("server")}
	s.Client, s.url = h.client(s.server), s.server.log.url()
	s.worker = h.elsewhere("w")
	return s
}

// elsewhere starts a worker whose files no server sees.
func (h *host) elsewhere(name string) *daemon {
	h.t.Helper()
	own := *h
	own.env = append(append([]string{}, h.env...), "ATTUNE__ARTIFACTS__DIR="+filepath.Join(h.root, "artifacts-of-"+name))
	return own.spawn("worker", "--data-dir", h.workerDir(name), "--name", name)
}

// another starts one more server.
func (h *host) another() *client.Client {
	h.t.Helper()
	other := *h
	other.dir = filepath.Join(h.root, "data-2")
	other.env = append(append([]string{}, h.env...), "ATTUNE_DATA_DIR="+other.dir)
	return other.client(other.spawn("server"))
}

// reader is somebody who follows a log.
type reader struct {
	text  *bytes.Buffer
	ended chan error
	lines <-chan string
}

// follow begins to follow an execution's stdout.
func (h *host) follow(c *client.Client, id, offset int64) *reader {
	h.t.Helper()
	stream, err := c.Logs(h.t.Context(), id, attune.Stdout, client.LogOptions{Follow: true, Offset: offset})
	if err != nil {
		h.t.Fatal(err)
	}
	r := &reader{text: &bytes.Buffer{}, ended: make(chan error, 1)}
	from, to := io.Pipe()
	r.lines = lines(from)
	go func() {
		_, err := io.Copy(io.MultiWriter(r.text, to), stream)
		_ = to.Close()
		r.ended <- errors.Join(err, stream.Close())
	}()
	return r
}

// gets waits for a line.
func (r *reader) gets(t *testing.T, line string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case got, open := <-r.lines:
			if got == line {
				return
			}
			if !open {
				t.Fatalf("the log ended without %q", line)
			}
		case <-late:
			t.Fatalf("no line %q after %v", line, patience)
		}
	}
}

// whole waits for the end, and compares.
func (r *reader) whole(t *testing.T, want string) {
	t.Helper()
	for range r.lines { // to its end
	}
	if err := <-r.ended; err != nil {
		t.Fatalf("the log broke off: %v", err)
	}
	if got := r.text.String(); got != want {
		t.Errorf("got %d bytes, want %d: %.200q", len(got), len(want), got)
	}
}

// bySteps writes as files appear: some bytes that are no text, more than goes in one message, a line without an end.
const bySteps = `printf 'ünï \0 begun\n'; until [ -e "$PARAM_HOLD.1" ]; do sleep 0.01; done
for ((i = 0; i < 100000; i++)); do echo "line $i of many"; done
until [ -e "$PARAM_HOLD.2" ]; do sleep 0.01; done; printf 'no end of line'`

func bySteps100k() string {
	var want strings.Builder
	want.WriteString("ünï \x00 begun\n")
	for i := range 100000 {
		fmt.Fprintf(&want, "line %d of many\n", i)
	}
	want.WriteString("no end of line")
	return want.String()
}

// TestOutputOfWorkersElsewhere follows an execution at two servers that see none of its files, from different moments on.
func TestOutputOfWorkersElsewhere(t *testing.T) {
	t.Parallel()
	h := newHost(t, production)
	s := elsewhere(h)
	other := h.another()
	want := bySteps100k()
	id := h.submit(s.Client, script(bySteps, map[string]string{"hold": h.hold}))
	first := h.follow(s.Client, id, 0)
	first.gets(t, "ünï \x00 begun")
	readers := map[int64]*reader{5: h.follow(other, id, 5)}
	h.touch(h.hold + ".1")
	first.gets(t, "line 99999 of many")
	readers[int64(len(want)-20)] = h.follow(s.Client, id, int64(len(want)-20))
	readers[0] = h.follow(other, id, 0)
	readers[0].gets(t, "line 99999 of many")
	if got := h.output(other, id); got != strings.TrimSuffix(want, "no end of line") {
		t.Errorf("without follow, %d bytes are there of %d", len(got), len(want)-14)
	}
	h.touch(h.hold + ".2")
	first.whole(t, want)
	for offset, r := range readers {
		r.whole(t, want[offset:])
	}
	h.becomes(s.Client, id, attune.StatusCompleted)
	if got := h.output(other, id); got != want {
		t.Errorf("afterwards, %d bytes are there of %d", len(got), len(want))
	}
	h.follow(s.Client, id, 7).whole(t, want[7:])
	entries, err := os.ReadDir(filepath.Join(h.dir, "live"))
	if err != nil || len(entries) > 0 {
		t.Errorf("copies of logs have names: %v %v", entries, err)
	}

	s.worker.kill()
	_, err = other.Logs(t.Context(), id, attune.Stderr, client.LogOptions{})
	if attune.ErrorCode(err) != attune.CodeNotFound || !strings.Contains(err.Error(), "worker w") {
		t.Errorf("of a worker that is gone: %v", err)
	}
}

// TestOutputWhileTheBrokerIsAway has RabbitMQ killed and started again under a reader.
func TestOutputWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	h, _, rabbitmq := newOutage(t)
	s := elsewhere(h)
	id := h.submit(s.Client, script(bySteps, map[string]string{"hold": h.hold}))
	r := h.follow(s.Client, id, 0)
	r.gets(t, "ünï \x00 begun")
	rabbitmq.Halt()
	h.reports(s, `"degraded":["message_queue"]`)
	h.touch(h.hold + ".1")
	if err := rabbitmq.Start(); err != nil {
		t.Fatal(err)
	}
	r.gets(t, "line 99999 of many")
	h.touch(h.hold + ".2")
	r.whole(t, bySteps100k())
}

// TestEventsComeBack goes on behind an event that was read, and is told where that is not possible.
func TestEventsComeBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		s := h.up()
		h.becomes(s.Client, h.submit(s.Client, echo("first")), attune.StatusCompleted)
		last := h.eventsAfter(s.Client, "", func(event client.Event) bool { return event.NewStatus.Final() })
		id := h.submit(s.Client, echo("while nobody reads"))
		h.becomes(s.Client, id, attune.StatusCompleted)
		var seen []string
		last = h.eventsAfter(s.Client, last, func(event client.Event) bool {
			if event.ExecutionID == id {
				seen = append(seen, strings.TrimSpace(event.Type+" "+string(event.NewStatus)))
			}
			return event.ExecutionID == id && event.NewStatus.Final()
		})
		// What two processes send may cross.
		slices.Sort(seen)
		if got := strings.Join(seen, ", "); got != "requested, scheduled, status completed, status running" {
			t.Errorf("of an execution while nobody read: %s", got)
		}
		first := func(event client.Event) bool {
			if event.Type != client.EventReset {
				t.Errorf("got %+v, want a reset", event)
			}
			return true
		}
		h.eventsAfter(s.Client, "nonsense", first)
		s.kill()
		h.eventsAfter(h.up().Client, last, first)
	})
}

// eventsAfter reads events until one is the last, and returns its id. Meanwhile executions run, so that there are some.
func (h *host) eventsAfter(c *client.Client, after string, isLast func(client.Event) bool) (id string) {
	h.t.Helper()
	ctx, enough := context.WithTimeoutCause(h.t.Context(), patience, errors.New("no such event came"))
	defer enough()
	var running errgroup.Group
	done := make(chan struct{})
	running.Go(func() error {
		for {
			select {
			case <-done:
				return nil
			case <-time.After(200 * time.Millisecond):
			}
			if _, err := c.Submit(ctx, client.Submission{Action: "core.noop"}); err != nil {
				return err
			}
		}
	})
	for event, err := range c.EventsAfter(ctx, after) {
		if err != nil {
			h.t.Fatal(err)
		}
		if id = event.ID; isLast(event) {
			break
		}
	}
	close(done)
	if err := running.Wait(); err != nil {
		h.t.Fatal(err)
	}
	if ctx.Err() != nil {
		h.t.Fatal(context.Cause(ctx))
	}
	return id
}
