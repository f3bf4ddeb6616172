package api_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestWhatIsAddedElsewhereGoesToTheStore(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		d := newDepot(t, url)
		ctx := context.Background()
		d.installDemo()
		e := d.submit(client.Submission{Action: "demo.one"})
		_, err := d.AddArtifact(ctx, e.ID, "files/a", strings.NewReader("a"))
		wantCode(t, "before it begins", err, attune.CodeConflict)
		fence := d.begin(e.ID)
		c := d.attempt(fence)
		for _, content := range []string{"first", "second!", "", strings.Repeat("of several parts", 1<<20)} {
			added, err := c.AddArtifact(ctx, e.ID, "files/sub/ü 1.txt", strings.NewReader(content))
			if err != nil || added.Name != "files/sub/ü 1.txt" || added.Bytes != int64(len(content)) || added.Attempt != 1 || added.Type != attune.ArtifactFile {
				t.Errorf("%+v %v", added, err)
			}
			if got, err := d.artifact(e.ID, "files/sub/ü 1.txt", 0); got != content || err != nil {
				t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
			}
			if d.has(e.ID, "files/sub/ü 1.txt") != (content != "") {
				t.Errorf("an object for %d bytes: %v", len(content), content == "")
			}
		}
		_, err = c.AddArtifact(ctx, e.ID, "files/large", io.LimitReader(zeros{}, 100<<20+1))
		wantCode(t, "too large", err, attune.CodeInvalid)
		d.finish(fence, completed, attune.Artifact{Name: "files/left", Type: attune.ArtifactFile, Bytes: 4, Attempt: 1})
		want := []string{"files/left 4", "files/sub/ü 1.txt 16777216"}
		if got := artifactNames(t, d.Client, e.ID); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		_, err = d.AddArtifact(ctx, e.ID, "files/late", strings.NewReader("late"))
		wantCode(t, "after the end", err, attune.CodeConflict)
		if err := d.Delete(ctx, e.ID); err != nil || d.has(e.ID, "files/sub/ü 1.txt") {
			t.Errorf("deleted: %v", err)
		}
	})
}

// TestWhatComesTooLateElsewhereIsNoArtifact ends an attempt while a file is on its way to the artifact store: nobody sees
// any of it, and it goes with the execution.
func TestWhatComesTooLateElsewhereIsNoArtifact(t *testing.T) {
	t.Parallel()
	d := newDepot(t, objectstest.Directory(t))
	ctx := context.Background()
	d.installDemo()
	late := func(end func(id int64, fence attune.Fence)) (int64, error) {
		e := d.submit(client.Submission{Action: "demo.one"})
		fence := d.begin(e.ID)
		body, sender := io.Pipe()
		answer := make(chan error, 1)
		go func() {
			_, err := d.AddArtifact(ctx, e.ID, "files/late", body)
			answer <- err
		}()
		if _, err := sender.Write([]byte("half ")); err != nil { // which is read when its row is there
			t.Fatal(err)
		}
		storetest.Eventually(t, func() bool {
			workers, err := d.store.Read().StoringWorkers(ctx, e.ID)
			return err == nil && len(workers) == 1
		})
		end(e.ID, fence)
		_, _ = sender.Write([]byte("of it")) // the answer tells what has come of it
		_ = sender.Close()
		return e.ID, <-answer
	}

	id, err := late(func(_ int64, fence attune.Fence) { d.finish(fence, completed) })
	wantCode(t, "ended meanwhile", err, attune.CodeConflict)
	if got := artifactNames(t, d.Client, id); len(got) != 0 {
		t.Errorf("listed: %q", got)
	}
	if _, err := d.OpenArtifact(ctx, id, "files/late", 0); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Error(err)
	}
	if !d.has(id, "files/late") {
		t.Error("this tests nothing: nothing has come to the store")
	}
	if err := d.Delete(ctx, id); err != nil || d.has(id, "files/late") {
		t.Errorf("left: %v", err)
	}

	id, err = late(func(id int64, fence attune.Fence) {
		d.finish(fence, completed)
		if err := d.Delete(ctx, id); err != nil {
			t.Error(err)
		}
	})
	wantCode(t, "deleted meanwhile", err, attune.CodeNotFound)
	if d.has(id, "files/late") {
		t.Error("an object of a deleted execution is left")
	}
}

func TestBesideSecretsNothingIsAddedElsewhere(t *testing.T) {
	t.Parallel()
	d := newDepot(t, objectstest.Directory(t))
	d.installDemo()
	e := d.submit(client.Submission{Action: "demo.key"})
	_, err := d.attempt(d.begin(e.ID)).AddArtifact(t.Context(), e.ID, "files/a", strings.NewReader("hunter2"))
	wantCode(t, "beside secrets", err, attune.CodeConflict)
	if err == nil || !strings.Contains(err.Error(), "$ATTUNE_ARTIFACTS_DIR") || d.has(e.ID, "files/a") {
		t.Error(err)
	}
}

// TestAStoreThatIsAwayTakesNothing has a directory that is not mounted.
func TestAStoreThatIsAwayTakesNothing(t *testing.T) {
	t.Parallel()
	d := newDepot(t, "file://"+t.TempDir()+"/mounted")
	e := d.echo()
	d.begin(e.ID)
	_, err := d.AddArtifact(t.Context(), e.ID, "files/a", strings.NewReader("a"))
	wantCode(t, "away", err, attune.CodeUnavailable)
	if got := artifactNames(t, d.Client, e.ID); len(got) != 0 {
		t.Errorf("listed: %q", got)
	}
}
