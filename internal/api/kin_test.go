package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// tokenOf is the token that a worker gives to an attempt.
func (s *server) tokenOf(f attune.Fence) string {
	s.t.Helper()
	made, err := s.keys.TokenOf(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// attempt returns the client that an attempt has.
func (s *server) attempt(f attune.Fence) *client.Client {
	s.t.Helper()
	c := client.New(client.Config{BaseURL: s.url, Token: s.tokenOf(f)})
	s.t.Cleanup(c.Close)
	return c
}

// installDemo installs a pack whose action demo.all may start core.noop and those of its own pack.
func (s *server) installDemo() {
	s.t.Helper()
	s.install("demo", map[string]string{
		"pack.yaml":        "ref: demo\nversion: 1.0.0\n",
		"actions/all.yaml": "ref: demo.all\nentry_point: a.sh\nmay_start: [core.noop, demo.*, gone.now]\nretry: {max_attempts: 2}\n",
		"actions/one.yaml": "ref: demo.one\nentry_point: a.sh\n",
		"actions/key.yaml": "ref: demo.key\nentry_point: a.sh\nsecrets: [k]\n",
		"actions/a.sh":     "echo hi\n",
	})
}

func wantCode(t *testing.T, what string, err error, want attune.Code) {
	t.Helper()
	if attune.ErrorCode(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestAnExecutionReachesItselfAndWhatItHasStarted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		ctx := context.Background()
		s.installDemo()
		other := s.echo()
		if _, err := s.Cancel(ctx, other.ID); err != nil {
			t.Fatal(err)
		}
		own := s.submit(client.Submission{Action: "demo.all"})
		c := s.attempt(s.begin(own.ID))
		s.write(s.files(own.ID, 1), attune.Stdout, "out\n")

		caller, err := c.Caller(ctx)
		if err != nil || caller.Name != fmt.Sprintf("execution %d (demo.all)", own.ID) || caller.Role != "" || caller.Execution == nil || *caller.Execution != own.ID {
			t.Errorf("%+v %v", caller, err)
		}
		if e, err := c.Execution(ctx, own.ID); err != nil || e.Parent != nil || e.Status != attune.StatusRunning {
			t.Errorf("%+v %v", e, err)
		}
		if all, err := c.Artifacts(ctx, own.ID); err != nil || len(all) != 1 {
			t.Errorf("%+v %v", all, err)
		}
		body, err := c.Logs(ctx, own.ID, attune.Stdout, client.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
		_, err = c.Cancel(ctx, own.ID)
		wantCode(t, "its own end", err, attune.CodeDenied)
		_, err = c.Rerun(ctx, own.ID)
		wantCode(t, "itself once more", err, attune.CodeDenied)
		for what, id := range map[string]int64{"another one": other.ID, "none": 9999} {
			_, err = c.Execution(ctx, id)
			wantCode(t, what, err, attune.CodeNotFound)
			_, err = c.Cancel(ctx, id)
			wantCode(t, what, err, attune.CodeNotFound)
			_, err = c.AddArtifact(ctx, id, "files/a", strings.NewReader("a"))
			wantCode(t, what, err, attune.CodeNotFound)
		}

		child, err := c.Submit(ctx, client.Submission{Action: "core.noop", IdempotencyKey: "once"})
		if err != nil || child.Parent == nil || *child.Parent != own.ID {
			t.Fatalf("%+v %v", child, err)
		}
		if again, err := c.Submit(ctx, client.Submission{Action: "core.noop", IdempotencyKey: "once"}); err != nil || again.ID != child.ID {
			t.Errorf("%+v %v", again, err)
		}
		if mine, err := s.Submit(ctx, client.Submission{Action: "core.noop", IdempotencyKey: "once"}); err != nil || mine.ID == child.ID || mine.Parent != nil {
			t.Errorf("the key of an execution is everybody's: %+v %v", mine, err)
		}
		if found, err := s.Executions(ctx, client.Filter{Parent: own.ID}); err != nil || len(found.Items) != 1 || *found.Items[0].Parent != own.ID {
			t.Errorf("%+v %v", found, err)
		}
		if e, err := c.Execution(ctx, child.ID); err != nil || e.ID != child.ID {
			t.Errorf("%+v %v", e, err)
		}
		_, err = c.AddArtifact(ctx, child.ID, "files/a", strings.NewReader("a"))
		wantCode(t, "an artifact of a child", err, attune.CodeDenied)
		if e, err := c.Cancel(ctx, child.ID); err != nil || e.Status != attune.StatusCancelled || !strings.Contains(e.Error.Message, "cancelled by execution") {
			t.Errorf("%+v %v", e, err)
		}
		want := fmt.Sprintf("execution %d (demo.all): execution submitted: execution %d of core.noop", own.ID, child.ID)
		if got := audits(t, db); !slices.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	})
}

func TestAnExecutionStartsWhatItsActionLists(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		ctx := context.Background()
		s.installDemo()
		plain := s.attempt(s.begin(s.submit(client.Submission{Action: "core.noop"}).ID))
		_, err := plain.Submit(ctx, client.Submission{Action: "core.noop"})
		wantCode(t, "an action without may_start", err, attune.CodeDenied)
		c := s.attempt(s.begin(s.submit(client.Submission{Action: "demo.all"}).ID))
		for _, ref := range []attune.Ref{"core.noop", "demo.one", "demo.all"} {
			if _, err := c.Submit(ctx, client.Submission{Action: ref}); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
			if a, err := c.Action(ctx, ref); err != nil || a.Ref != ref {
				t.Errorf("%s: %v", ref, err)
			}
		}
		_, err = c.Submit(ctx, client.Submission{Action: "gone.now"})
		wantCode(t, "what is not installed", err, attune.CodeNotFound)
		for _, ref := range []attune.Ref{"core.echo", "demos.one", "core.nothing"} {
			_, err := c.Submit(ctx, client.Submission{Action: ref, Parameters: json.RawMessage(`{"message":"hi"}`)})
			wantCode(t, string(ref), err, attune.CodeDenied)
			_, err = c.Action(ctx, ref)
			wantCode(t, string(ref), err, attune.CodeDenied)
		}
		_, err = c.Submit(ctx, client.Submission{Script: &client.Script{Name: "a.sh", Content: "id"}})
		wantCode(t, "a script", err, attune.CodeDenied)
	})
}

// TestOperationsAreNotForExecutions goes through the OpenAPI document, so that an operation which lets executions in without
// saying so fails it.
func TestOperationsAreNotForExecutions(t *testing.T) {
	t.Parallel()
	s, operations := newServerOn(t, storetest.SQLite(t))
	s.installDemo()
	e := s.submit(client.Submission{Action: "demo.all"})
	own := s.tokenOf(s.begin(e.ID))
	let := 0
	for _, o := range documented(t, operations) {
		if o.Security != nil && len(*o.Security) == 0 {
			continue
		}
		path := strings.NewReplacer("{id}", strconv.FormatInt(e.ID, 10), "{stream}", "stdout", "{name}", "files/x",
			"{ref}", "demo.one", "{key}", "k", "{worker}", "w1").Replace(o.path)
		status := s.knock(o.method, path, own)
		if o.Execution != "" {
			let++
			continue
		}
		if status != http.StatusForbidden {
			t.Errorf("%s %s: %d", o.method, path, status)
		}
	}
	if let != 10 {
		t.Errorf("%d operations are for executions", let)
	}
}

func TestATokenEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		s.installDemo()
		e := s.submit(client.Submission{Action: "demo.all"})
		path := "/api/v1/executions/" + strconv.FormatInt(e.ID, 10)
		status := func(token string) int { return s.knock(http.MethodGet, path, token) }

		first := s.begin(e.ID)
		if got := status(s.tokenOf(first)); got != 200 {
			t.Errorf("while it runs: %d", got)
		}
		s.finish(first, failed) // which is retried
		if got := status(s.tokenOf(first)); got != 401 {
			t.Errorf("between two attempts: %d", got)
		}
		second := s.begin(e.ID)
		if second.Attempt != 2 || status(s.tokenOf(first)) != 401 || status(s.tokenOf(second)) != 200 {
			t.Errorf("attempt 2: %d and %d", status(s.tokenOf(first)), status(s.tokenOf(second)))
		}
		if _, err := s.Cancel(context.Background(), e.ID); err != nil || status(s.tokenOf(second)) != 200 {
			t.Errorf("while it is cancelled: %v", err)
		}
		s.finish(second, attune.Outcome{Status: attune.StatusCancelled})
		if got := status(s.tokenOf(second)); got != 401 {
			t.Errorf("afterwards: %d", got)
		}
		if err := s.Delete(context.Background(), e.ID); err != nil || status(s.tokenOf(second)) != 401 {
			t.Errorf("when it is deleted: %v", err)
		}
	})
}

func TestForgedTokensLetNobodyIn(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t))
	s.installDemo()
	e := s.submit(client.Submission{Action: "demo.all"})
	fence := s.begin(e.ID)
	good := s.tokenOf(fence)
	path := "/api/v1/executions/" + strconv.FormatInt(e.ID, 10)
	elsewhere, err := secret.NewSafe(secret.SafeConfig{Create: t.TempDir() + "/keys"}).TokenOf(fence)
	if err != nil {
		t.Fatal(err)
	}
	for what, forged := range map[string]string{
		"of other master keys": elsewhere, "with a longer code": good + "A", "without its code": good[:strings.LastIndexByte(good, '.')],
		"of another worker":   strings.Replace(good, ".1.1.1.", ".1.2.1.", 1),
		"of the next attempt": strings.Replace(good, ".1.1.1.", ".2.1.1.", 1),
	} {
		if forged == good {
			t.Fatalf("%s: %s is not as this test has it", what, good)
		}
		if status := s.knock(http.MethodGet, path, forged); status != 401 {
			t.Errorf("%s: %d", what, status)
		}
	}
	before := fence
	before.Incarnation++
	if status := s.knock(http.MethodGet, path, s.tokenOf(before)); status != 401 {
		t.Errorf("of another incarnation: %d", status)
	}
	if _, err := s.keys.Renew(); err != nil {
		t.Fatal(err)
	}
	if status := s.knock(http.MethodGet, path, good); status != 200 {
		t.Errorf("after a rotation: %d", status)
	}
}

// TestAPackBringsNoWayOut has somebody who is limited to a pack install an action that would start another pack's.
func TestAPackBringsNoWayOut(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t))
	c, _ := s.as(client.TokenRequest{Role: attune.RoleAdmin, Packs: []string{"demo"}})
	for started, want := range map[string]attune.Code{"core.shell": attune.CodeDenied, "core.*": attune.CodeDenied, "demo.*": ""} {
		_, err := c.InstallPack(context.Background(), bytes.NewReader(archiveOf(t, map[string]string{
			"pack.yaml": "ref: demo\nversion: 1.0.0\n", "actions/a.sh": "echo hi\n",
			"actions/a.yaml": "ref: demo.a\nentry_point: a.sh\nmay_start: ['" + started + "']\n",
		})))
		wantCode(t, started, err, want)
	}
}
