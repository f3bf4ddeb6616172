package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestListPagesAndFilters(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var ids []int64
	for range 5 {
		ids = append(ids, s.echo().ID)
	}
	noop := s.submit(client.Submission{Action: "core.noop"})
	var seen []int64
	filter := client.Filter{Action: "core.echo", Limit: 2}
	for {
		page, err := s.Executions(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			seen = append(seen, e.ID)
		}
		if filter.Cursor = page.NextCursor; filter.Cursor == "" {
			break
		}
	}
	if fmt.Sprint(seen) != fmt.Sprint([]int64{ids[4], ids[3], ids[2], ids[1], ids[0]}) {
		t.Errorf("%v of %v", seen, ids)
	}
	if _, err := s.Cancel(t.Context(), noop.ID); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		filter client.Filter
		want   int
	}{
		"status":     {client.Filter{Statuses: []attune.Status{attune.StatusCancelled, attune.StatusFailed}}, 1},
		"pack":       {client.Filter{Pack: "core"}, 6},
		"other pack": {client.Filter{Pack: "cor_"}, 0},
		"worker":     {client.Filter{Worker: "w1"}, 0},
		"since":      {client.Filter{Since: noop.CreatedAt}, 1},
		"until":      {client.Filter{Until: noop.CreatedAt}, 5},
		"text":       {client.Filter{Text: "NOOP"}, 1},
		"id":         {client.Filter{Text: fmt.Sprint(ids[0]), Action: "core.echo"}, 1},
	} {
		page, err := s.Executions(t.Context(), test.filter)
		if err != nil || len(page.Items) != test.want {
			t.Errorf("%s: %d, want %d, %v", name, len(page.Items), test.want, err)
		}
	}
}

func TestListsLeaveOutWhatMayBeLarge(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		e := s.echo()
		s.finish(s.begin(e.ID), attune.Outcome{Status: attune.StatusCompleted, Result: json.RawMessage(`"large"`)})
		status, text := s.send(http.MethodGet, "/api/v1/executions", "")
		for _, name := range []string{"parameters", "result", "env", "context", "stdout", "processes", "large", "incomplete"} {
			if status != 200 || strings.Contains(text, `"`+name+`"`) {
				t.Errorf("%d, a list has %s: %s", status, name, text)
			}
		}
		whole, err := s.Execution(t.Context(), e.ID)
		if err != nil || string(whole.Result) != `"large"` {
			t.Errorf("%s %v", whole.Result, err)
		}
		page, err := s.Executions(t.Context(), client.Filter{})
		if err != nil || len(page.Items) != 1 || !cmp.Equal(page.Items[0], whole.Summary()) {
			t.Errorf("%v: %+v is not %+v", err, page.Items, whole.Summary())
		}
	})
}

func TestWrongListRequestsNameTheParameter(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for query, word := range map[string]string{
		"status=done": "query.status", "limit=0": "query.limit", "limit=501": "query.limit", "limit=x": "query.limit",
		"since=yesterday": "query.since", "until=2026-13-01T00:00:00Z": "query.until", "text=" + strings.Repeat("x", 201): "query.text",
		"cursor=x": "query.cursor", "cursor=9999999999999999999": "query.cursor", "stauts=failed": "query.stauts",
	} {
		s.wantProblem(http.MethodGet, "/api/v1/executions?"+query, "", 422, word)
	}
	for path, word := range map[string]string{
		"/api/v1/executions/x": "path.id", "/api/v1/executions/0": "path.id", "/api/v1/executions/1/logs/stdin": "path.stream",
		"/api/v1/executions/1/logs/stdout?offset=-1": "query.offset", "/api/v1/executions/1?wait=forever": "query.wait",
		"/api/v1/executions/1?wait=61s": "query.wait",
	} {
		s.wantProblem(http.MethodGet, path, "", 422, word)
	}
}

func TestWaitEndsWithTheExecution(t *testing.T) {
	t.Parallel()
	hearing := newServer(t)
	deaf, _ := newDeafServer(t)
	for name, s := range map[string]*server{"by message": hearing, "by looking": deaf} {
		e := s.echo()
		ended := make(chan error, 1)
		go func() {
			got, err := s.WaitExecution(t.Context(), e.ID)
			if err == nil && got.Status != attune.StatusCompleted {
				err = fmt.Errorf("it is %s", got.Status)
			}
			ended <- err
		}()
		s.finish(s.begin(e.ID), completed)
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaitEndsWithItsTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	begun := time.Now()
	status, body := s.send(http.MethodGet, fmt.Sprintf("/api/v1/executions/%d?wait=1s", e.ID), "")
	if status != 200 || time.Since(begun) < time.Second {
		t.Errorf("%d after %v: %s", status, time.Since(begun), body)
	}
}

func TestWaitingSaysWhatFor(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	says := func(e attune.Execution, reason attune.WaitReason, words string) {
		t.Helper()
		if e.WaitingFor == nil || e.WaitingFor.Reason != reason || !strings.Contains(e.WaitingFor.Message, words) {
			t.Errorf("%+v", e.WaitingFor)
		}
	}
	first := s.echo()
	says(first, attune.WaitSlot, "a slot is free")
	s.begin(first.ID)
	s.begin(s.echo().ID)
	third, err := s.Execution(t.Context(), s.echo().ID) // the submission's own answer may be a moment behind
	if err != nil {
		t.Fatal(err)
	}
	says(third, attune.WaitSlot, "every slot is taken")
	if _, err := s.SetWorker(t.Context(), "w1", "cordon"); err != nil {
		t.Fatal(err)
	}
	if third, err = s.Execution(t.Context(), third.ID); err != nil {
		t.Fatal(err)
	}
	says(third, attune.WaitWorker, "is active now")
}

func TestCancelAndDeleteInTheirStates(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx := t.Context()
	waiting, running := s.echo(), s.echo()
	if e, err := s.Cancel(ctx, waiting.ID); err != nil || e.Status != attune.StatusCancelled {
		t.Errorf("a waiting one: %v %v", e.Status, err)
	}
	fence := s.begin(running.ID)
	if e, err := s.Cancel(ctx, running.ID); err != nil || e.Status != attune.StatusCanceling {
		t.Errorf("a running one: %v %v", e.Status, err)
	}
	if err := s.Delete(ctx, running.ID); attune.ErrorCode(err) != attune.CodeConflict {
		t.Errorf("deleting a running one: %v", err)
	}
	s.write(s.files(running.ID, 1), attune.Stdout, "out")
	s.finish(fence, attune.Outcome{Status: attune.StatusCancelled})
	if _, err := s.Cancel(ctx, running.ID); attune.ErrorCode(err) != attune.CodeConflict {
		t.Errorf("cancelling an ended one: %v", err)
	}
	if err := s.Delete(ctx, running.ID); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.artifacts, "w1", fmt.Sprintf("execution_%d", running.ID))); !os.IsNotExist(err) {
		t.Errorf("its files: %v, want %v", err, fs.ErrNotExist)
	}
	for _, call := range []func() error{
		func() error { _, err := s.Execution(ctx, running.ID); return err },
		func() error { return s.Delete(ctx, running.ID) },
		func() error { _, err := s.Cancel(ctx, running.ID); return err },
	} {
		if err := call(); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("a deleted one: %v", err)
		}
	}
}

func TestEventsTellEveryChange(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	ready, events := make(chan struct{}), make(chan client.Event, 100)
	go func() {
		defer close(events)
		close(ready)
		for event, err := range s.Events(ctx) {
			if err != nil {
				t.Error(err)
			}
			if event.Type == client.EventStatus {
				events <- event
			}
		}
	}()
	<-ready
	// Until the stream is there, changes go by: new ones are made until one is seen.
	var first client.Event
	for first.ExecutionID == 0 {
		s.finish(s.begin(s.echo().ID), completed)
		select {
		case first = <-events:
		case <-time.After(50 * time.Millisecond):
		}
	}
	e := s.echo()
	s.finish(s.begin(e.ID), completed)
	var seen []attune.Status
	for event := range events {
		if event.ExecutionID != e.ID {
			continue
		}
		if seen = append(seen, event.NewStatus); event.NewStatus.Final() {
			break
		}
	}
	if fmt.Sprint(seen) != "[running completed]" {
		t.Errorf("%v", seen)
	}
	stop(nil)
	for event := range events { // until the reader has ended
		t.Log("late", event)
	}
}
