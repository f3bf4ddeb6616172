package api_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/testserver"
)

// depot is a server on another host than the worker: it has an artifact store, and none of the worker's files.
type depot struct {
	*server
	objects *objects.Store
}

func newDepot(t *testing.T, url string) *depot {
	t.Helper()
	all, err := objects.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Close() })
	d := &depot{objects: all}
	d.server, _ = newServerOn(t, storetest.SQLite(t), func(c *api.Config) {
		c.Objects = all
		c.Artifacts = func(worker string) (*artifact.Store, error) {
			return nil, attune.Errorf(attune.CodeNotFound, "the output lies on worker %s", worker)
		}
	})
	return d
}

// ends takes an execution to its end, with an artifact at a location. Its object is there unless content is "".
func (d *depot) ends(at store.Location, name, content string) int64 {
	d.t.Helper()
	e := d.echo()
	d.finish(d.begin(e.ID), completed)
	d.leaves(e.ID, 1, at, name, content)
	return e.ID
}

func (d *depot) leaves(id int64, attempt int, at store.Location, name, content string) {
	d.t.Helper()
	storetest.Write(d.t, d.store, func(ctx context.Context, q *store.Queries) error {
		return q.PutArtifacts(ctx, store.Left{ExecutionID: id, Worker: d.worker.Name, Location: at, Artifacts: []attune.Artifact{
			{Name: name, Type: attune.ArtifactFile, Bytes: int64(len(content)), Attempt: attempt},
		}})
	})
	if at == store.LocationStored && content != "" {
		if err := d.objects.Put(context.Background(), artifact.Key(d.worker.Name, id, attempt, name), strings.NewReader(content)); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *depot) has(id int64, name string) bool {
	d.t.Helper()
	object, err := d.objects.Open(context.Background(), artifact.Key(d.worker.Name, id, 1, name), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = object.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return true
}

func TestArtifactsAreReadFromTheStore(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		d := newDepot(t, url)
		for name, content := range map[string]string{"files/a b+c#d": "x\x00y", "stdout.log": strings.Repeat("line\n", 100_000), "files/empty": ""} {
			id := d.ends(store.LocationStored, name, content)
			if got, err := d.artifact(id, name, 0); got != content || err != nil {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet,
				d.url+fmt.Sprintf("/api/v1/executions/%d/artifacts/%s", id, pathOf(name)), nil)
			request.Header.Set("Authorization", "Bearer "+token)
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.ContentLength != int64(len(content)) {
				t.Errorf("%s: Content-Length %d", name, answer.ContentLength)
			}
			if _, err := d.artifact(id, "files/nope", 0); attune.ErrorCode(err) != attune.CodeNotFound {
				t.Errorf("what is not there: %v", err)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

func pathOf(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

// The latest attempt that has it is meant, wherever the others were.
func TestArtifactOfAnEarlierAttemptIsFoundInTheStore(t *testing.T) {
	t.Parallel()
	d := newDepot(t, objectstest.Directory(t))
	d.install("demo", map[string]string{
		"pack.yaml":          "ref: demo\nversion: 1.0.0\nlabel: Demo\n",
		"actions/twice.yaml": "ref: demo.twice\nrunner_type: shell\nentry_point: twice.sh\nretry: {max_attempts: 2}\n",
		"actions/twice.sh":   "false\n",
	})
	e := d.submit(client.Submission{Action: "demo.twice"})
	d.finish(d.begin(e.ID), failed)
	d.finish(d.begin(e.ID), completed)
	d.leaves(e.ID, 1, store.LocationStored, "files/first", "1")
	d.leaves(e.ID, 1, store.LocationStored, "files/both", "1")
	d.leaves(e.ID, 2, store.LocationStored, "files/both", "2")
	for _, test := range []struct {
		name    string
		attempt int
		want    string
	}{{"files/first", 0, "1"}, {"files/both", 0, "2"}, {"files/both", 1, "1"}} {
		if got, err := d.artifact(e.ID, test.name, test.attempt); got != test.want || err != nil {
			t.Errorf("%s of attempt %d: %q %v", test.name, test.attempt, got, err)
		}
	}
}

func TestWhatIsNotInTheStoreIsTold(t *testing.T) {
	t.Parallel()
	d := newDepot(t, objectstest.Directory(t))
	for _, test := range []struct {
		at   store.Location
		want string
	}{
		{store.LocationPending, "worker w1 is still uploading it"},
		{store.LocationWorker, "the output lies on worker w1"},
		{store.LocationStored, "somebody has removed it there"},
	} {
		id := d.ends(test.at, "files/a", "content")
		if test.at == store.LocationStored {
			if err := d.objects.DeletePrefix(t.Context(), artifact.KeyDir("w1", id)); err != nil {
				t.Fatal(err)
			}
		}
		d.wantProblem("GET", fmt.Sprintf("/api/v1/executions/%d/artifacts/files/a", id), "", 404, test.want)
	}
}

// newServerWithStore has an artifact store that is empty.
func newServerWithStore(t *testing.T) *server {
	t.Helper()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) {
		var err error
		if c.Objects, err = objects.New(objectstest.Directory(t)); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// Where workers and servers share a directory, what is on its way into the store is read there.
func TestPendingIsReadWhereItLies(t *testing.T) {
	t.Parallel()
	s := newServerWithStore(t)
	e := s.echo()
	fence := s.begin(e.ID)
	s.write(s.files(e.ID, 1), attune.Stdout, "here\n")
	s.finish(fence, completed)
	(&depot{server: s}).leaves(e.ID, 1, store.LocationPending, "stdout.log", "here\n")
	if got, err := s.artifact(e.ID, "stdout.log", 0); got != "here\n" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestDeletingRemovesObjectsFirst(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		d := newDepot(t, url)
		id, other := d.ends(store.LocationStored, "files/a", "a"), d.ends(store.LocationStored, "files/a", "b")
		late := artifact.Key("w1", id, 1, "files/late") // uploaded, and not marked yet
		if err := d.objects.Put(t.Context(), late, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if err := d.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if d.has(id, "files/a") || d.has(id, "files/late") || !d.has(other, "files/a") {
			t.Errorf("left: %v %v, of the other one: %v", d.has(id, "files/a"), d.has(id, "files/late"), d.has(other, "files/a"))
		}
		running := d.echo()
		d.begin(running.ID)
		d.leaves(running.ID, 1, store.LocationStored, "files/of-an-earlier-attempt", "x")
		if err := d.Delete(t.Context(), running.ID); attune.ErrorCode(err) != attune.CodeConflict || !d.has(running.ID, "files/of-an-earlier-attempt") {
			t.Errorf("one that runs: %v", err)
		}
		if err := d.Delete(t.Context(), 1<<40); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("one that is not there: %v", err)
		}
	})
}

// A store that is away keeps the rows that tell of what it has, and everybody is told to come again.
func TestStoreThatIsAwayIsTold(t *testing.T) {
	t.Parallel()
	network, through := testserver.Through(t, objectstest.Endpoint(t))
	bucket, err := url.Parse(objectstest.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	d := newDepot(t, objectstest.At(bucket.Host, through))
	id := d.ends(store.LocationStored, "files/a", "content")
	path := fmt.Sprintf("/api/v1/executions/%d", id)
	network.Cut()
	d.wantProblem("GET", path+"/artifacts/files/a", "", 503, "the artifact store is away")
	d.wantProblem("DELETE", path, "", 503, "the artifact store is away")
	if refused := network.Refused.Load(); refused == 0 {
		t.Error("nobody has asked the store")
	}
	network.Restore()
	if got, err := d.artifact(id, "files/a", 0); got != "content" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if err := d.Delete(t.Context(), id); err != nil || d.has(id, "files/a") {
		t.Errorf("%v", err)
	}
}

// A directory that is not mounted is a store that is away.
func TestDirectoryThatIsAwayKeepsTheExecution(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mounted")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := newDepot(t, "file://"+dir)
	id := d.ends(store.LocationStored, "files/a", "content")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	d.wantProblem("GET", fmt.Sprintf("/api/v1/executions/%d/artifacts/files/a", id), "", 503, "the artifact store is away")
	if err := d.Delete(t.Context(), id); attune.ErrorCode(err) != attune.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if _, err := d.Execution(t.Context(), id); err != nil {
		t.Errorf("the execution is gone: %v", err)
	}
}

// A server that was given no artifact store must not forget what is in one.
func TestWhatIsStoredIsDeletedOnlyWhereTheStoreIs(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t))
	d := &depot{server: s}
	e := s.echo()
	s.finish(s.begin(e.ID), completed)
	d.leaves(e.ID, 1, store.LocationStored, "files/empty", "")
	d.wantProblem("DELETE", fmt.Sprintf("/api/v1/executions/%d", e.ID), "", 409, "set artifacts.store here")
	if _, err := d.Execution(t.Context(), e.ID); err != nil {
		t.Errorf("the execution is gone: %v", err)
	}
}
