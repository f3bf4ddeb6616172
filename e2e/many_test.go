package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/store"
)

// TestThousandAtOnce submits 1,000 executions at once: all complete, at most max_concurrent_tasks at a time, and none
// of them writes where another one does.
func TestThousandAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		const count, slots = 1000, 10
		h := newHost(t, as, fmt.Sprint("ATTUNE__WORKER__MAX_CONCURRENT_TASKS=", slots))
		s := h.up()
		const content = `echo "$ATTUNE_EXECUTION_ID"; pwd; echo "$HOME"; echo "$TMPDIR"
		echo "$ATTUNE_EXECUTION_ID" >> "$ATTUNE_ARTIFACTS_DIR/own"; echo "$ATTUNE_EXECUTION_ID" >> own; cat own >&2
		echo "$ATTUNE_EXECUTION_ID" > "$ATTUNE_RESULT_FILE"`
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(50)
		for range count {
			group.Go(func() error { _, err := s.Submit(ctx, script(content, nil)); return err })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		private := map[string]int64{}
		all := everything(t, s.Client)
		if len(all) != count {
			t.Fatalf("%d executions are stored", len(all))
		}
		whole := make([]attune.Execution, count)
		for i, e := range all {
			ended, err := s.WaitExecution(t.Context(), e.ID)
			if err != nil || ended.Status != attune.StatusCompleted {
				t.Fatalf("execution %d: %s %+v %v", e.ID, ended.Status, ended.Error, err)
			}
			whole[i] = ended
		}
		for _, e := range whole {
			own := strconv.FormatInt(e.ID, 10)
			out := strings.Split(strings.TrimSpace(h.output(s.Client, e.ID)), "\n")
			if len(out) != 4 || out[0] != own || string(e.Result) != own {
				t.Fatalf("execution %d wrote %q and has the result %s", e.ID, out, e.Result)
			}
			for _, dir := range out[1:] {
				if other, taken := private[dir]; taken {
					t.Fatalf("executions %d and %d share %s", e.ID, other, dir)
				}
				private[dir] = e.ID
			}
			file, err := os.ReadFile(filepath.Join(h.artifacts(), "w", "execution_"+own, "files", "own"))
			if err != nil || string(file) != own+"\n" {
				t.Fatalf("execution %d: its file holds %q, %v", e.ID, file, err)
			}
		}
		if most := mostAtOnce(whole); most > slots || most < 2 {
			t.Errorf("%d ran at once, want at most %d", most, slots)
		}
	})
}

// mostAtOnce counts how many executions overlap, from their claims to their ends.
func mostAtOnce(all []attune.Execution) int {
	type edge struct {
		at   time.Time
		step int
	}
	var edges []edge
	for _, e := range all {
		edges = append(edges, edge{*e.StartedAt, 1}, edge{*e.FinishedAt, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.step, b.step)) })
	now, most := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	return most
}

// TestCommandsAtOnce runs five commands at once on a new data directory, and then beside a server.
func TestCommandsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded)
	h.fiveAtOnce("alone")
	s := h.up()
	h.fiveAtOnce("beside")
	s.kill()
	h.fiveAtOnce("after")
	for _, e := range everything(t, h.up().Client) {
		if e.Status != attune.StatusCompleted {
			t.Errorf("execution %d: %s %+v", e.ID, e.Status, e.Error)
		}
	}
	if left := h.attune(0, "worker", "list", "-q"); strings.Count(left, "\n") != 2 {
		t.Errorf("workers stay:\n%s", left)
	}
}

func (h *host) fiveAtOnce(word string) {
	h.t.Helper()
	var wait sync.WaitGroup
	for i := range 5 {
		wait.Go(func() {
			message := fmt.Sprint(word, i)
			var stdout, stderr bytes.Buffer
			cmd := h.command("run", "core.echo", "message="+message)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil || stdout.String() != message+"\n" {
				h.t.Errorf("%s: %v, stdout %q, stderr %q", message, err, stdout.String(), stderr.String())
			}
		})
	}
	wait.Wait()
}

// TestDatabaseAwayWhileActionsEnd holds the database's writer for longer than an action takes to end.
func TestDatabaseAwayWhileActionsEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded)
	s := h.up()
	id := h.submit(s.Client, script(`until [ -e "$PARAM_HOLD" ]; do sleep 0.02; done; echo '{"done": true}'; touch "$PARAM_HOLD.done"`,
		map[string]string{"hold": h.hold}))
	h.becomes(s.Client, id, attune.StatusRunning)

	release, held := make(chan struct{}), make(chan struct{})
	var holding errgroup.Group
	holding.Go(func() error { return holdWriter(t.Context(), h.dir, held, release) })
	<-held
	if err := os.WriteFile(h.hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.eventually("the action ends", func() bool { _, err := os.Stat(h.hold + ".done"); return err == nil })
	if e, err := s.Execution(t.Context(), id); err != nil || e.Status != attune.StatusRunning {
		t.Errorf("the writer was not held: %s %v", e.Status, err)
	}
	close(release)
	if err := holding.Wait(); err != nil {
		t.Fatal(err)
	}
	if e := h.becomes(s.Client, id, attune.StatusCompleted); string(e.Result) != `{"done":true}` {
		t.Errorf("result %s", e.Result)
	}
}

// holdWriter is another process's transaction that takes its time, as a backup may.
func holdWriter(ctx context.Context, dir string, held, release chan struct{}) error {
	db, err := store.Open(ctx, store.Config{URL: "sqlite:attune.db", Dir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.Write(ctx, func(*store.Queries) error {
		close(held)
		<-release
		return nil
	})
}

// TestFollowersSeeEveryByteOnce lets twenty readers follow an action that writes, from different moments on.
func TestFollowersSeeEveryByteOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		s := h.up()
		const rounds = 300
		id := h.submit(s.Client, script(`for ((i = 0; i < 300; i++)); do printf '%d ünï \0 line\n' $i; [ $((i % 10)) -gt 0 ] || sleep 0.01; done`, nil))
		var want bytes.Buffer
		for i := range rounds {
			fmt.Fprintf(&want, "%d ünï \x00 line\n", i)
		}
		group, ctx := errgroup.WithContext(t.Context())
		for reader := range 20 {
			group.Go(func() error {
				offset := int64(reader * 100)
				stream, err := s.Logs(ctx, id, attune.Stdout, client.LogOptions{Follow: true, Offset: offset})
				if err != nil {
					return err
				}
				got, err := io.ReadAll(stream)
				if err == nil && !bytes.Equal(got, want.Bytes()[offset:]) {
					err = fmt.Errorf("reader %d got %d bytes, want %d", reader, len(got), int64(want.Len())-offset)
				}
				return cmp.Or(err, stream.Close())
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestEventsEndOnce reads the stream of changes while executions run: each has one final status, and no change after it.
func TestEventsEndOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		const count = 50
		h := newHost(t, as)
		s := h.up()
		changes := make(chan client.Event, 10_000)
		go func() {
			for event, err := range s.Events(t.Context()) {
				if err != nil {
					t.Errorf("the stream ended: %v", err)
					break
				}
				if event.Type == client.EventStatus {
					changes <- event
				}
			}
			close(changes)
		}()
		h.eventually("the stream begins", func() bool {
			h.submit(s.Client, client.Submission{Action: "core.noop"})
			select {
			case <-changes:
				return true
			case <-time.After(200 * time.Millisecond):
				return false
			}
		})
		open := map[int64]bool{}
		for i := range count {
			open[h.submit(s.Client, echo(fmt.Sprint(i)))] = true
		}
		ended := map[int64]attune.Status{}
		for len(open) > 0 {
			event, ok := <-changes
			switch {
			case !ok:
				t.Fatalf("%d executions have no end", len(open))
			case ended[event.ExecutionID] != "":
				t.Fatalf("execution %d was %s and then %s", event.ExecutionID, ended[event.ExecutionID], event.NewStatus)
			case event.NewStatus.Final():
				ended[event.ExecutionID] = event.NewStatus
				delete(open, event.ExecutionID)
			}
		}
	})
}
