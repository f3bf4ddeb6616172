package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/outage/outagetest"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/testserver"
	"github.com/attune-automation/attune/internal/worker"
)

// storing gives a host an artifact store.
func (h *host) storing(url string) *host {
	h.t.Helper()
	var err error
	if h.objects, err = objects.New(url); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = h.objects.Close() })
	h.Service = execution.New(execution.Config{
		Store: h.store, Broker: h.broker, Logger: slog.New(slog.DiscardHandler), Uploads: true,
	})
	return h
}

// locations tells where the artifacts of an execution are: attempt, name and location of each.
func (h *host) locations(id int64) string {
	h.t.Helper()
	rows, err := h.store.Read().Artifacts(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, row := range rows {
		all = append(all, fmt.Sprintf("%d/%s:%s", row.Attempt, row.Name, row.Location))
	}
	return strings.Join(all, " ")
}

func (h *host) located(id int64, want string) {
	h.t.Helper()
	last := ""
	storetest.Eventually(h.t, func() bool { last = h.locations(id); return last == want })
}

// object returns what the artifact store has, and whether it has it.
func (h *host) object(id int64, attempt int, name string) (string, bool) {
	h.t.Helper()
	object, err := h.objects.Open(context.Background(), artifact.Key("w", id, attempt, name), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		h.t.Fatal(err)
	}
	content, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil {
		h.t.Fatal(err)
	}
	return string(content), true
}

const leaving = `echo out; echo '{"n":1}' > "$ATTUNE_RESULT_FILE"; mkdir "$ATTUNE_ARTIFACTS_DIR/deep"
	printf content > "$ATTUNE_ARTIFACTS_DIR/deep/a b"; : > "$ATTUNE_ARTIFACTS_DIR/empty"`

const allStored = "1/files/deep/a b:stored 1/files/empty:stored 1/result.json:stored 1/stderr.log:stored 1/stdout.log:stored"

func TestWhatEndsIsUploaded(t *testing.T) {
	t.Parallel()
	objectstest.Each(t, func(t *testing.T, url string) {
		h := newHost(t, nil).storing(url).start()
		id := h.run("a.sh", leaving, `{}`).ID
		h.located(id, allStored)
		for name, want := range map[string]string{"stdout.log": "out\n", "result.json": "{\"n\":1}\n", "files/deep/a b": "content"} {
			if got, _ := h.object(id, 1, name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		for _, name := range []string{"stderr.log", "files/empty"} {
			if _, there := h.object(id, 1, name); there {
				t.Errorf("%s is empty and has an object", name)
			}
		}
		if got := h.read(fmt.Sprintf("execution_%d/stdout.log", id)); got != "out\n" {
			t.Errorf("the worker's own copy is %q", got)
		}
	})
}

func TestEachAttemptIsUploaded(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).storing(objectstest.Directory(t)).start()
	id := h.submit("a.sh", `echo "attempt $ATTUNE_ATTEMPT"; exit $((2 - ATTUNE_ATTEMPT))`, `{}`, func(a *attune.Action) {
		a.Retry = attune.Retry{MaxAttempts: 2, On: []attune.Status{attune.StatusFailed}}
	})
	h.place()
	storetest.Eventually(t, func() bool { h.place(); return h.isFinal(id) })
	h.located(id, "1/stderr.log:stored 1/stdout.log:stored 2/stderr.log:stored 2/stdout.log:stored")
	for n := 1; n <= 2; n++ {
		if got, _ := h.object(id, n, "stdout.log"); got != fmt.Sprintf("attempt %d\n", n) {
			t.Errorf("attempt %d: %q", n, got)
		}
	}
}

func (h *host) isFinal(id int64) bool {
	h.t.Helper()
	row, err := h.store.Read().Execution(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return row.Status.Final()
}

// A store that is away is told of once, keeps nothing from ending, and gets all of it when it is back, without anybody's
// doing.
func TestUploadsWaitForTheStore(t *testing.T) {
	t.Parallel()
	network, through := testserver.Through(t, objectstest.Endpoint(t))
	bucket, err := url.Parse(objectstest.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	var log outagetest.Journal
	h := newHost(t, nil).storing(objectstest.At(bucket.Host, through))
	h.log = log.Logger()
	h.start()
	network.Cut()
	var ids []int64
	for range 8 {
		ids = append(ids, h.run("a.sh", leaving, `{}`).ID)
	}
	refused := network.Refused.Load()
	storetest.Eventually(t, func() bool { return network.Refused.Load() > refused+8 })
	if got := h.locations(ids[0]); !strings.Contains(got, "stdout.log:pending") {
		t.Errorf("while the store is away: %s", got)
	}
	network.Restore()
	for _, id := range ids {
		h.located(id, allStored)
	}
	storetest.Eventually(t, func() bool { return log.Count("artifacts are in the artifact store again") == 1 })
	if n := log.Count("artifacts are not in the artifact store yet"); n != 1 {
		t.Errorf("the log says %d times that it is away", n)
	}
}

// What an earlier life has not brought there, the next one does.
func TestNextStartUploadsWhatIsPending(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not-mounted-yet")
	h := newHost(t, nil).storing("file://" + dir).start()
	id := h.run("a.sh", leaving, `{}`).ID
	h.worker.Kill() // with no time for what is pending
	if err := h.wait(); err != nil {
		t.Fatal(err)
	}
	if got := h.locations(id); !strings.Contains(got, "stdout.log:pending") {
		t.Errorf("between the lives: %s", got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.located(id, allStored)
}

// A worker that is told to end takes the time to bring what has just ended, and not more than it has.
func TestEndWaitsForUploads(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).storing(objectstest.Directory(t)).start()
	var ids []int64
	for range 10 {
		ids = append(ids, h.run("a.sh", leaving, `{}`).ID)
	}
	if err := h.end(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if got := h.locations(id); got != allStored {
			t.Errorf("after the end: %s", got)
		}
	}
}

// A file that is gone, or that an action has replaced by a link, keeps nobody else back, and is not followed.
func TestWhatCantBeReadStays(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not-mounted-yet")
	var log outagetest.Journal
	h := newHost(t, nil).storing("file://" + dir)
	h.log = log.Logger()
	h.start()
	spoilt, whole := h.run("a.sh", leaving, `{}`).ID, h.run("b.sh", leaving, `{}`).ID
	own := filepath.Join(h.dir, "artifacts", "w", fmt.Sprintf("execution_%d", spoilt))
	for _, name := range []string{"stdout.log", "files/deep/a b"} {
		if err := os.Remove(filepath.Join(own, name)); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("hush"), 0o600), os.Symlink(secret, filepath.Join(own, "stdout.log")), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	h.located(whole, allStored)
	h.located(spoilt, "1/files/deep/a b:worker 1/files/empty:stored 1/result.json:stored 1/stderr.log:stored 1/stdout.log:worker")
	if got, there := h.object(spoilt, 1, "stdout.log"); there {
		t.Errorf("the store has %q", got)
	}
	if err := h.end(); err != nil { // or it is about to tell
		t.Fatal(err)
	}
	if n := log.Count("an artifact stays on this worker"); n != 2 {
		t.Errorf("the log tells of it %d times", n)
	}
}

// An execution that is deleted while its artifacts are on their way leaves nothing in the store.
func TestUploadOfADeletedExecutionIsUndone(t *testing.T) {
	t.Parallel()
	network, through := testserver.Through(t, objectstest.Endpoint(t))
	bucket, err := url.Parse(objectstest.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, nil).storing(objectstest.At(bucket.Host, through)).start()
	network.Freeze()
	id := h.run("a.sh", leaving, `{}`).ID
	storetest.Eventually(t, func() bool { return network.Stalled.Load() >= 2 }) // two files are on their way
	storetest.Write(t, h.store, func(ctx context.Context, q *store.Queries) error {
		_, err := q.DeleteExecution(ctx, id)
		return err
	})
	network.Thaw()
	next := h.run("b.sh", leaving, `{}`).ID
	h.located(next, allStored)
	storetest.Eventually(t, func() bool {
		for _, name := range []string{"stdout.log", "result.json", "files/deep/a b"} {
			if _, there := h.object(id, 1, name); there {
				return false
			}
		}
		return true
	})
}

// What a worker that was killed has uploaded of an execution that was deleted goes with the worker's files, and these
// stay until the store can be asked.
func TestFilesTellOfOrphans(t *testing.T) {
	t.Parallel()
	data, mounted := t.TempDir(), filepath.Join(t.TempDir(), "mounted")
	db := storetest.OpenIn(t, data)
	stored, err := objects.New("file://" + mounted)
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(data, "artifacts", "w", "execution_77")
	aged(t, gone, 2*time.Hour)
	tidy := worker.Host{
		Store: db, Objects: stored, Logger: slog.New(slog.DiscardHandler), DataDir: data, ArtifactsDir: filepath.Join(data, "artifacts"),
	}
	if err := tidy.Tidy(t.Context()); err != nil || !isThere(gone) {
		t.Errorf("while the store is away: %v", err)
	}
	orphan := filepath.Join(mounted, "w", "execution_77", "stdout.log")
	if err := errors.Join(os.MkdirAll(filepath.Dir(orphan), 0o700), os.WriteFile(orphan, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := tidy.Tidy(t.Context()); err != nil || isThere(gone) || isThere(orphan) {
		t.Errorf("files %v, object %v, %v", isThere(gone), isThere(orphan), err)
	}
}

// A large file keeps neither those behind it waiting, nor the rest of them.
func TestLargeFileKeepsNobodyBack(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).storing(objectstest.S3(t)).start()
	large := h.run("a.sh", `head -c 30000000 /dev/zero > "$ATTUNE_ARTIFACTS_DIR/large"`, `{}`).ID
	small := h.run("b.sh", leaving, `{}`).ID
	h.located(small, allStored)
	h.located(large, "1/files/large:stored 1/stderr.log:stored 1/stdout.log:stored")
	if content, _ := h.object(large, 1, "files/large"); len(content) != 30_000_000 {
		t.Errorf("%d bytes", len(content))
	}
}

// Without a store, rows say so and nobody looks for more.
func TestWithoutAStoreNothingIsPending(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	id := h.run("a.sh", leaving, `{}`).ID
	if got := h.locations(id); got != strings.ReplaceAll(allStored, "stored", "worker") {
		t.Error(got)
	}
}
