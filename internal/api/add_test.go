package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func artifactNames(t *testing.T, c *client.Client, id int64) (names []string) {
	t.Helper()
	all, err := c.Artifacts(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		names = append(names, fmt.Sprintf("%s %d", a.Name, a.Bytes))
	}
	return names
}

func TestAnExecutionAddsArtifacts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		ctx := context.Background()
		s.installDemo()
		e := s.submit(client.Submission{Action: "demo.one"})
		_, err := s.AddArtifact(ctx, e.ID, "files/a", strings.NewReader("a"))
		wantCode(t, "before it begins", err, attune.CodeConflict)
		fence := s.begin(e.ID)
		_, err = s.AddArtifact(ctx, e.ID, "files/a", strings.NewReader("a"))
		wantCode(t, "before its directory is there", err, attune.CodeConflict)
		files := s.files(e.ID, 1)
		c := s.attempt(fence)
		for _, content := range []string{"first", "second!"} {
			added, err := c.AddArtifact(ctx, e.ID, "files/sub/ü 1.txt", strings.NewReader(content))
			if err != nil || added.Name != "files/sub/ü 1.txt" || added.Bytes != int64(len(content)) || added.Attempt != 1 {
				t.Errorf("%+v %v", added, err)
			}
		}
		if got, want := artifactNames(t, c, e.ID), []string{"files/sub/ü 1.txt 7"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		body, err := c.OpenArtifact(ctx, e.ID, "files/sub/ü 1.txt", 0)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(body); err != nil || string(text) != "second!" {
			t.Errorf("%q %v", text, err)
		}
		_ = body.Close()
		operator, _ := s.as(client.TokenRequest{Role: attune.RoleOperator, Name: "op"})
		if _, err := operator.AddArtifact(ctx, e.ID, "files/more", strings.NewReader("more")); err != nil {
			t.Error(err)
		}
		viewer, _ := s.as(client.TokenRequest{Role: attune.RoleViewer})
		_, err = viewer.AddArtifact(ctx, e.ID, "files/none", strings.NewReader("none"))
		wantCode(t, "a viewer", err, attune.CodeDenied)
		if got := audits(t, db); !slices.Contains(got, fmt.Sprintf("token 1 (op): artifact added: execution %d of demo.one", e.ID)) {
			t.Errorf("%q", got)
		}

		left, err := files.List() // as the worker finds them; one it has missed
		if err != nil {
			t.Fatal(err)
		}
		s.finish(fence, completed, left.Artifacts[:1]...)
		want := []string{"files/more 4", "files/sub/ü 1.txt 7"}
		if got := artifactNames(t, s.Client, e.ID); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		_, err = s.AddArtifact(ctx, e.ID, "files/late", strings.NewReader("late"))
		wantCode(t, "after the end", err, attune.CodeConflict)
		_, err = c.AddArtifact(ctx, e.ID, "files/late", strings.NewReader("late"))
		wantCode(t, "after its end, itself", err, attune.CodeNoToken)
	})
}

func TestWhatCanNotBeAdded(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t))
	s.installDemo()
	e := s.submit(client.Submission{Action: "demo.one"})
	fence := s.begin(e.ID)
	files := s.files(e.ID, 1)
	own := s.tokenOf(fence)
	put := func(name string, body io.Reader) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/api/v1/executions/%d/artifacts/%s", s.url, e.ID, name), body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+own)
		return s.do(request)
	}
	for _, name := range []string{"a", "stdout.log", "files", "files/%2e%2e/stdout.log", "files/a%0ab", "files//a", "files/" + strings.Repeat("d/", 40) + "a", "files/" + strings.Repeat("a", 256)} {
		status, body := put(name, strings.NewReader("x"))
		if !slices.Contains([]int{422, 301, 307, 404}, status) { // some are no such path to the mux
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if err := os.Symlink("..", filepath.Join(files.FilesDir(), "up")); err != nil {
		t.Fatal(err)
	}
	if status, body := put("files/up/stdout.log", strings.NewReader("x")); status != 409 || !strings.Contains(body, "in the way") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := put("files/large", io.LimitReader(zeros{}, 100<<20+1)); status != 413 || !strings.Contains(body, "ATTUNE_ARTIFACTS_DIR") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := put("files/most", io.LimitReader(zeros{}, 100<<20)); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if got, want := artifactNames(t, s.Client, e.ID), []string{"files/most 104857600"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if found, err := filepath.Glob(filepath.Join(filepath.Dir(files.FilesDir()), ".added*")); err != nil || len(found) != 0 {
		t.Errorf("left: %q %v", found, err)
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestWhereTheServerCanNotAddItSaysSo has the worker's directory be on another host.
func TestWhereTheServerCanNotAddItSaysSo(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) {
		c.Artifacts = func(string) (*artifact.Store, error) { return nil, attune.Errorf(attune.CodeNotFound, "elsewhere") }
	})
	s.installDemo()
	e := s.submit(client.Submission{Action: "demo.one"})
	c := s.attempt(s.begin(e.ID))
	_, err := c.AddArtifact(t.Context(), e.ID, "files/a", strings.NewReader("a"))
	wantCode(t, "elsewhere", err, attune.CodeConflict)
	if err == nil || !strings.Contains(err.Error(), "$ATTUNE_ARTIFACTS_DIR") {
		t.Error(err)
	}
}

// TestWhatIsAddedBesideSecretsIsSeenByNobody adds to an execution whose action has a key; what comes of it is the worker's.
func TestWhatIsAddedBesideSecretsIsSeenByNobody(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t))
	ctx := context.Background()
	s.installDemo()
	e := s.submit(client.Submission{Action: "demo.key"})
	fence := s.begin(e.ID)
	files := s.files(e.ID, 1)
	c := s.attempt(fence)
	_, err := c.AddArtifact(ctx, e.ID, "files/a", strings.NewReader("hunter2"))
	wantCode(t, "before there is a place for it", err, attune.CodeConflict)
	if err := files.Hold(); err != nil {
		t.Fatal(err)
	}
	if added, err := c.AddArtifact(ctx, e.ID, "files/hunter2", strings.NewReader("hunter2")); err != nil || added.Bytes != 7 {
		t.Fatalf("%+v %v", added, err)
	}
	if got := artifactNames(t, s.Client, e.ID); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if _, err := s.OpenArtifact(ctx, e.ID, "files/hunter2", 0); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Error(err)
	}
	if err := files.TakeHeld(ctx, nil); err != nil {
		t.Fatal(err)
	}
	s.finish(fence, completed)
	if got := artifactNames(t, s.Client, e.ID); len(got) != 0 {
		t.Errorf("a row was stored of what may have to be masked: %q", got)
	}
}

// TestWhatComesTooLateLeavesNothing ends an attempt while a file is on its way to it: nobody finds any of it, neither
// listed nor on the disk.
func TestWhatComesTooLateLeavesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		s.installDemo()
		e := s.submit(client.Submission{Action: "demo.one"})
		fence, files := s.begin(e.ID), s.files(e.ID, 1)
		body, sender := io.Pipe()
		answer := make(chan error, 1)
		go func() {
			_, err := s.AddArtifact(context.Background(), e.ID, "files/deep/late", body)
			answer <- err
		}()
		if _, err := sender.Write([]byte("half ")); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(files.FilesDir())
		storetest.Eventually(t, func() bool { found, _ := filepath.Glob(filepath.Join(dir, ".added*")); return len(found) == 1 })
		s.finish(fence, completed)
		if _, err := sender.Write([]byte("of it")); err != nil {
			t.Fatal(err)
		}
		_ = sender.Close()
		wantCode(t, "too late", <-answer, attune.CodeConflict)
		if got := artifactNames(t, s.Client, e.ID); len(got) != 0 {
			t.Errorf("listed: %q", got)
		}
		for _, pattern := range []string{".added*", "files/*"} {
			if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) != 0 {
				t.Errorf("left: %q %v", found, err)
			}
		}
	})
}
