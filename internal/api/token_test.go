package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// as returns a client with a new token.
func (s *server) as(r client.TokenRequest) (*client.Client, attune.NewToken) {
	s.t.Helper()
	if r.Name == "" {
		r.Name = "a " + string(r.Role)
	}
	made, err := s.CreateToken(context.Background(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	c := client.New(client.Config{BaseURL: s.url, Token: made.Secret})
	s.t.Cleanup(c.Close)
	return c, made
}

// knock makes a request and returns its status; of an answer that goes on for ever it reads no more.
func (s *server) knock(method, path, secret string) int {
	s.t.Helper()
	request, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if secret != "" {
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestEveryOperationAsksWhoCalls goes through the OpenAPI document, so that an operation which asks nobody fails it.
func TestEveryOperationAsksWhoCalls(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, api := newServerOn(t, db)
		e := s.submit(client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"message":"hi"}`)})
		if _, err := s.SetKey(context.Background(), attune.KeyID{Owner: attune.OwnerSystem, Name: "k"}, []byte("hunter2-hunter2"), false); err != nil {
			t.Fatal(err)
		}
		_, viewer := s.as(client.TokenRequest{Role: attune.RoleViewer})
		_, operator := s.as(client.TokenRequest{Role: attune.RoleOperator})
		_, elsewhere := s.as(client.TokenRequest{Role: attune.RoleAdmin, Packs: []string{"web"}})
		_, revoked := s.as(client.TokenRequest{Role: attune.RoleAdmin})
		if err := s.RevokeToken(context.Background(), revoked.ID); err != nil {
			t.Fatal(err)
		}
		_, expired := s.as(client.TokenRequest{Role: attune.RoleAdmin, Expires: time.Microsecond})
		filtered := []string{ // what is left for who reaches another pack alone: nothing of core
			"GET /api/v1/executions", "GET /api/v1/actions", "GET /api/v1/packs", "GET /api/v1/keys", "GET /api/v1/events",
			"GET /api/v1/workers", "GET /api/v1/workers/w1", "GET /api/v1/version", "GET /api/v1/caller",
			"POST /api/v1/executions", "POST /api/v1/packs", // they look at the body first
		}
		// Of what is there, and of the pack core.
		fill := strings.NewReplacer("/executions/{id}", "/executions/"+strconv.FormatInt(e.ID, 10), "/tokens/{id}", "/tokens/999",
			"/actions/{ref}", "/actions/core.echo", "/packs/{ref}", "/packs/core", "{key}", "k", "{worker}", "w1", "{stream}", "stdout", "{name}", "x")
		for _, o := range documented(t, api) {
			path := fill.Replace(o.path)
			what := o.method + " " + path
			if o.Security != nil && len(*o.Security) == 0 {
				if status := s.knock(o.method, path, ""); status != 200 {
					t.Errorf("%s is open, and says %d", what, status)
				}
				continue
			}
			for who, secret := range map[string]string{
				"nobody": "", "a guess": "attune_x", "who was revoked": revoked.Secret, "who has expired": expired.Secret,
			} {
				if status := s.knock(o.method, path, secret); status != 401 {
					t.Errorf("%s lets %s in: %d", what, who, status)
				}
			}
			for _, test := range []struct {
				attune.Role
				secret string
			}{{attune.RoleViewer, viewer.Secret}, {attune.RoleOperator, operator.Secret}} {
				may := test.Covers(o.Role)
				if may && o.method != http.MethodGet {
					continue // it would change something
				}
				if status := s.knock(o.method, path, test.secret); may == (status == 403) || status == 401 {
					t.Errorf("%s needs %s and says %d to %s", what, o.Role, status, test.Role)
				}
			}
			status := s.knock(o.method, path, elsewhere.Secret)
			if slices.Contains(filtered, what) {
				if status != 200 && status != 422 {
					t.Errorf("%s says %d to who has it filtered", what, status)
				}
			} else if status != 403 && status != 404 {
				t.Errorf("%s lets in who is for another pack: %d", what, status)
			}
		}
	})
}

func TestATokenReachesNothingButItsPacks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		ctx := context.Background()
		for _, ref := range []string{"demo", "web"} {
			s.install(ref, map[string]string{
				"pack.yaml": "ref: " + ref + "\nversion: 1.0.0\n", "actions/go.yaml": "ref: " + ref + ".go\nrunner_type: shell\nentry_point: go.sh\n",
				"actions/go.sh": "echo hi\n",
			})
			id := attune.KeyID{Owner: attune.OwnerPack, Of: ref, Name: "k"}
			if _, err := s.SetKey(ctx, id, []byte("hunter2-hunter2"), false); err != nil {
				t.Fatal(err)
			}
			s.submit(client.Submission{Action: attune.Ref(ref + ".go")})
		}
		c, _ := s.as(client.TokenRequest{Role: attune.RoleAdmin, Packs: []string{"web"}})
		executions, err := c.Executions(ctx, client.Filter{})
		if err != nil || len(executions.Items) != 1 || executions.Items[0].Action != "web.go" {
			t.Errorf("%+v %v", executions, err)
		}
		if found, err := c.Executions(ctx, client.Filter{Pack: "demo"}); err != nil || len(found.Items) != 0 {
			t.Errorf("%+v %v", found, err)
		}
		actions, err := c.Actions(ctx, "")
		if err != nil || len(actions) != 1 || actions[0].Ref != "web.go" {
			t.Errorf("%+v %v", actions, err)
		}
		packs, err := c.Packs(ctx)
		if err != nil || len(packs) != 1 || packs[0].Ref != "web" {
			t.Errorf("%+v %v", packs, err)
		}
		keys, err := c.Keys(ctx)
		if err != nil || len(keys) != 1 || keys[0].Of != "web" {
			t.Errorf("%+v %v", keys, err)
		}
		if value, err := c.RevealKey(ctx, attune.KeyID{Owner: attune.OwnerAction, Of: "web.go", Name: "k"}); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("%q %v", value, err) // there is none of the action; the pack's is another one
		}
		if value, err := c.RevealKey(ctx, attune.KeyID{Owner: attune.OwnerPack, Of: "web", Name: "k"}); err != nil || string(value) != "hunter2-hunter2" {
			t.Errorf("%q %v", value, err)
		}
		if _, err := c.Submit(ctx, client.Submission{Action: "web.go"}); err != nil {
			t.Error(err)
		}
		for _, refused := range []client.Submission{{Action: "demo.go"}, {Action: "demo.gone"}, {Script: &client.Script{Name: "a.sh", Content: "id"}}} {
			if _, err := c.Submit(ctx, refused); attune.ErrorCode(err) != attune.CodeDenied {
				t.Errorf("%+v: %v", refused, err)
			}
		}
	})
}

func TestWhoDidWhatIsAudited(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		ctx := context.Background()
		c, made := s.as(client.TokenRequest{Role: attune.RoleOperator, Name: "deploys"})
		submission := client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"message":"hi"}`), IdempotencyKey: "once"}
		for range 2 { // the second time it is the same execution
			if _, err := c.Submit(ctx, submission); err != nil {
				t.Fatal(err)
			}
		}
		again, err := c.Rerun(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := c.Cancel(ctx, 1); err != nil || e.Status != attune.StatusCancelled || !strings.Contains(e.Error.Message, "cancelled by token 1 (deploys)") {
			t.Fatalf("%+v %v", e, err)
		}
		if _, err := c.Cancel(ctx, 1); attune.ErrorCode(err) != attune.CodeConflict {
			t.Fatal(err)
		}
		if _, err := s.SetWorker(ctx, "w1", "cordon"); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeToken(ctx, made.ID); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"local token: token created: token 1 (deploys): operator of everything",
			"token 1 (deploys): execution submitted: execution 1 of core.echo", fmt.Sprintf("token 1 (deploys): execution rerun: execution %d of core.echo", again.ID),
			"token 1 (deploys): execution cancelled: execution 1 of core.echo", "local token: worker cordoned: w1",
			"local token: execution deleted: execution 1 of core.echo", "local token: token revoked: token 1 (deploys)",
		}
		if got := audits(t, db); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		page, err := s.Audit(ctx, 3, "")
		if err != nil || len(page.Items) != 3 || page.Items[0].Event != "token revoked" || page.NextCursor == "" {
			t.Fatalf("%+v %v", page, err)
		}
		if page, err = s.Audit(ctx, 100, page.NextCursor); err != nil || len(page.Items) != len(want)-3 || page.NextCursor != "" {
			t.Errorf("%+v %v", page, err)
		}
	})
}

func TestTokensAreListedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t))
	ctx := context.Background()
	c, made := s.as(client.TokenRequest{Role: attune.RoleViewer, Packs: []string{"web", "db"}, Expires: time.Hour})
	if _, err := c.Packs(ctx); err != nil {
		t.Fatal(err)
	}
	tokens, err := s.Tokens(ctx)
	if err != nil || len(tokens) != 1 {
		t.Fatalf("%+v %v", tokens, err)
	}
	got := tokens[0]
	if got.Role != attune.RoleViewer || !slices.Equal(got.Packs, []string{"web", "db"}) || got.CreatedBy != "local token" ||
		got.LastUsedAt == nil || got.ExpiresAt == nil || got.ExpiresAt.Sub(got.CreatedAt) != time.Hour || got.ID != made.ID {
		t.Errorf("%+v", got)
	}
	if status, body := s.send(http.MethodGet, "/api/v1/tokens", ""); status != 200 || strings.Contains(body, made.Secret) || strings.Contains(body, "attune_") {
		t.Errorf("%d %s", status, body)
	}
	for body, want := range map[string]string{
		`{"name":"","role":"viewer"}`: "body.name", `{"name":"a\nb","role":"viewer"}`: "body.name", `{"name":"x","role":"root"}`: "body.role",
		`{"name":"x","role":"viewer","packs":["No Pack"]}`: "body.packs[0]", `{"name":"x","role":"viewer","expires_seconds":-1}`: "body.expires_seconds",
	} {
		s.wantProblem(http.MethodPost, "/api/v1/tokens", body, 422, want)
	}
}
