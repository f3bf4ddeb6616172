package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

// killed is a host whose worker was killed while it ran something, and was then taken for lost by a server.
type killed struct {
	*host
	deaf *execution.Service // nobody hears of what it places: the queue is not there yet
	row  store.WorkerRow
	kept *artifact.Store
}

func newKilled(t *testing.T, change func(*worker.Config)) *killed {
	t.Helper()
	k := &killed{host: newHost(t, leased(time.Second, time.Second))}
	if change != nil {
		change(&k.cfg)
	}
	k.deaf = execution.New(execution.Config{Store: k.store, Broker: lossy{}, Logger: slog.New(slog.DiscardHandler)})
	k.row = storetest.Worker(t, k.store, "w", 20)
	var err error
	if k.kept, err = artifact.New(filepath.Join(k.dir, "artifacts"), "w"); err != nil {
		t.Fatal(err)
	}
	return k
}

// began leaves what an attempt leaves that has begun: its output, and a file.
func (k *killed) began(change func(*attune.Action)) attune.Fence {
	k.t.Helper()
	id := k.submit("a.sh", "true", `{}`, change)
	if round, err := k.deaf.Schedule(context.Background(), nil); err != nil || round.Placed != 1 {
		k.t.Fatal(round, err)
	}
	row, err := k.store.Read().Execution(context.Background(), id)
	if err == nil {
		_, err = k.Claim(context.Background(), row.Fence())
	}
	if err != nil {
		k.t.Fatal(err)
	}
	files, err := k.kept.Create(id, row.Attempt)
	if err != nil {
		k.t.Fatal(err)
	}
	err = errors.Join(worker.Enter(k.cfg.Home, row.Fence()), os.WriteFile(files.LogPath(attune.Stdout), []byte("out\n"), 0o600),
		os.WriteFile(filepath.Join(files.FilesDir(), "report"), []byte("content"), 0o600))
	if err != nil {
		k.t.Fatal(err)
	}
	return row.Fence()
}

// judged does what a server does to a worker that is silent.
func (k *killed) judged() {
	k.t.Helper()
	held, err := k.Held(context.Background(), k.row.ID, k.row.Incarnation)
	if err != nil {
		k.t.Fatal(err)
	}
	storetest.Write(k.t, k.store, func(ctx context.Context, q *store.Queries) error {
		_, err := q.MarkWorkerLost(ctx, k.row.ID, k.row.Incarnation, false)
		return err
	})
	if _, err := k.LoseThese(context.Background(), held, "worker w was lost while it ran this", nil); err != nil {
		k.t.Fatal(err)
	}
}

// noted is how many attempts the ledger has.
func (k *killed) noted() int {
	k.t.Helper()
	files, err := os.ReadDir(worker.LedgerOf(k.cfg.Home))
	if err != nil {
		k.t.Fatal(err)
	}
	return len(files)
}

const allFound = "1/files/report:stored 1/stdout.log:stored"

// What a server has abandoned is listed and uploaded by the worker's next start, whatever the policy made of it, and once.
func TestNextStartListsWhatAServerAbandoned(t *testing.T) {
	t.Parallel()
	k := newKilled(t, nil)
	k.storing(objectstest.Directory(t))
	plain, again, cancelled := k.began(nil), k.began(retriedWhenAbandoned), k.began(nil)
	if _, err := k.Cancel(t.Context(), cancelled.ExecutionID, "ada"); err != nil {
		t.Fatal(err)
	}
	k.judged()
	k.start()
	for _, f := range []attune.Fence{plain, cancelled} {
		k.located(f.ExecutionID, allFound)
		row, err := k.store.Read().Execution(t.Context(), f.ExecutionID)
		if err != nil || row.Stdout.Bytes != 4 || !strings.Contains(row.Error.Message, "lost") {
			t.Errorf("%+v %+v %v", row.Stdout, row.Error, err)
		}
	}
	k.located(again.ExecutionID, allFound)
	if got, _ := k.object(plain.ExecutionID, 1, "stdout.log"); got != "out\n" {
		t.Errorf("the store has %q", got)
	}
	rows, err := k.store.Read().Artifacts(t.Context(), plain.ExecutionID)
	if row := k.untilIs(plain.ExecutionID, attune.StatusAbandoned); err != nil || !rows[0].CreatedAt.Equal(*row.FinishedAt) {
		t.Errorf("kept from %v on, not from its end, %v: %v", rows[0].CreatedAt, row.FinishedAt, err)
	}
	if n := k.noted(); n != 0 {
		t.Errorf("%d attempts are still noted", n)
	}
	for _, left := range []string{allFound, ""} { // the second time, after its retention
		if err := k.end(); err != nil {
			t.Fatal(err)
		}
		if left == "" {
			storetest.Write(t, k.store, func(ctx context.Context, q *store.Queries) error {
				_, err := q.DeleteArtifacts(ctx, rows)
				return err
			})
		}
		k.start()
		if got := k.locations(plain.ExecutionID); got != left {
			t.Errorf("after one more start: %q, want %q", got, left)
		}
	}
}

// A life that is killed before it has struck an attempt out changes nothing of what is known of it.
func TestListingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	k := newKilled(t, nil)
	k.storing(objectstest.Directory(t))
	f := k.began(nil)
	k.judged()
	k.start()
	k.located(f.ExecutionID, allFound)
	before, err := k.store.Read().Artifacts(t.Context(), f.ExecutionID)
	if err := errors.Join(err, k.end(), worker.Enter(k.cfg.Home, f)); err != nil {
		t.Fatal(err)
	}
	k.start()
	after, err := k.store.Read().Artifacts(t.Context(), f.ExecutionID)
	if err != nil || fmt.Sprint(before) != fmt.Sprint(after) || k.noted() != 0 {
		t.Errorf("%v, then %v: %v", before, after, err)
	}
}

// Files that were added while the attempt ran have rows already, and are uploaded with the others.
func TestAddedFilesAreListedWithTheOthers(t *testing.T) {
	t.Parallel()
	k := newKilled(t, nil)
	k.storing(objectstest.Directory(t))
	f := k.began(nil)
	storetest.Write(t, k.store, func(ctx context.Context, q *store.Queries) error {
		return q.PutArtifacts(ctx, store.Left{ExecutionID: f.ExecutionID, Worker: "w", Artifacts: []attune.Artifact{
			{Name: "files/report", Type: attune.ArtifactFile, Bytes: 7, Attempt: 1},
		}})
	})
	k.judged()
	k.start()
	k.located(f.ExecutionID, allFound)
}

// What is gone, or about to go, what somebody else has told of, and what was not masked, is not listed.
func TestWhatIsNotListedAtTheStart(t *testing.T) {
	t.Parallel()
	k := newKilled(t, func(c *worker.Config) { c.Retention = 24 * time.Hour })
	deleted, old, told, secretive := k.began(nil), k.began(nil), k.began(nil), k.began(func(a *attune.Action) { a.Secrets = []string{"token"} })
	if _, err := k.Finish(t.Context(), told, attune.Outcome{Status: attune.StatusCompleted}, nil); err != nil {
		t.Fatal(err)
	}
	files := k.kept.Attempt(secretive.ExecutionID, 1)
	if err := files.Hold(); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Add("files/added", strings.NewReader(hunter), 100, true, nil); err != nil {
		t.Fatal(err)
	}
	k.judged()
	storetest.Write(t, k.store, func(ctx context.Context, q *store.Queries) error {
		_, err := q.DeleteExecution(ctx, deleted.ExecutionID)
		return err
	})
	then := time.Now().Add(-25 * time.Hour)
	name := fmt.Sprintf("%d-1-%d-%d", old.ExecutionID, old.WorkerID, old.Incarnation)
	if err := os.Chtimes(filepath.Join(worker.LedgerOf(k.cfg.Home), name), then, then); err != nil {
		t.Fatal(err)
	}
	k.start()
	for f, want := range map[attune.Fence]string{deleted: "", old: "", told: "", secretive: "1/files/report:worker 1/stdout.log:worker"} {
		if got := k.locations(f.ExecutionID); got != want {
			t.Errorf("execution %d: %q, want %q", f.ExecutionID, got, want)
		}
	}
	if n := k.noted(); n != 0 {
		t.Errorf("%d attempts are still noted", n)
	}
	k.nowhere(hunter)
}

// TestSilentWorkerListsWhatAServerAbandoned has a server judge a worker that is only slow: it ends what it runs, as the
// table says, and tells what that has left.
func TestSilentWorkerListsWhatAServerAbandoned(t *testing.T) {
	t.Parallel()
	h := newHost(t, leased(500*time.Millisecond, time.Second)).storing(objectstest.Directory(t)).start()
	id := h.submit("a.sh", `echo out; printf content > "$ATTUNE_ARTIFACTS_DIR/report"; sleep 600`, `{}`, nil)
	h.place()
	report := filepath.Join(h.dir, "artifacts", "w", fmt.Sprintf("execution_%d", id), "files", "report")
	storetest.Eventually(t, func() bool { text, _ := os.ReadFile(report); return string(text) == "content" })
	held, err := h.Held(t.Context(), h.worker.ID(), 1)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Write(t, h.store, func(ctx context.Context, q *store.Queries) error {
		_, err := q.MarkWorkerLost(ctx, h.worker.ID(), 1, false)
		return err
	})
	if _, err := h.LoseThese(t.Context(), held, "worker w was lost while it ran this", nil); err != nil {
		t.Fatal(err)
	}
	h.located(id, "1/files/report:stored 1/stderr.log:stored 1/stdout.log:stored")
	if row := h.untilIs(id, attune.StatusAbandoned); row.Stdout.Bytes != 4 {
		t.Errorf("%+v", row.Stdout)
	}
}

// An attempt that is told as ended is not noted any more.
func TestLedgerIsEmptyInTheEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t, leased(time.Second, time.Second)).start()
	id := h.submit("a.sh", `ls "$PARAM_DIR"`, `{"dir":"`+worker.LedgerOf(h.cfg.Home)+`"}`, nil)
	h.place()
	h.untilIs(id, attune.StatusCompleted)
	if got := h.read("execution_1/stdout.log"); got != "1-1-1-1\n" {
		t.Errorf("while it runs: %q", got)
	}
	if err := h.end(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(worker.LedgerOf(h.cfg.Home)); err != nil || len(files) != 0 {
		t.Errorf("%v %v", files, err)
	}
}
