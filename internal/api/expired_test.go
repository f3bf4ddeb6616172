package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/live"
	"github.com/attune-automation/attune/internal/objects/objectstest"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// wrote is an outcome with so much on stdout.
func wrote(o attune.Outcome, bytes, dropped int64) attune.Outcome {
	o.Stdout = attune.Output{Bytes: bytes, DroppedBytes: dropped}
	return o
}

// forget removes what a worker has of an execution, as its retention does.
func forget(t *testing.T, files *artifact.Attempt) {
	t.Helper()
	if err := os.RemoveAll(filepath.Dir(files.FilesDir())); err != nil {
		t.Fatal(err)
	}
}

const expired = "is no longer kept: artifacts.retention_days"

func TestLogPastItsRetentionIsTold(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	fence, files := s.begin(e.ID), s.files(e.ID, 1)
	s.write(files, attune.Stdout, "out\n")
	s.finish(fence, wrote(completed, 4, 0))
	if text, err := s.log(e.ID, client.LogOptions{Offset: 1}); text != "ut\n" || err != nil {
		t.Errorf("while it is kept: %q %v", text, err)
	}
	forget(t, files)
	logs := fmt.Sprintf("/api/v1/executions/%d/logs/", e.ID)
	for _, query := range []string{"", "?follow=true", "?attempt=1", "?offset=4"} {
		s.wantProblem("GET", logs+"stdout"+query, "", 404, expired)
	}
	if status, body := s.send("GET", logs+"stderr", ""); status != 200 || body != "" {
		t.Errorf("it wrote nothing to stderr: %d %q", status, body)
	}
	lost := s.echo() // to a disk that has failed
	s.finish(s.begin(lost.ID), wrote(completed, 4, 4))
	if text, err := s.log(lost.ID, client.LogOptions{}); text != "" || err != nil {
		t.Errorf("nothing was kept ever: %q %v", text, err)
	}
}

func TestLogOfAnEarlierAttemptPastItsRetentionIsTold(t *testing.T) {
	t.Parallel()
	s := newRetryServer(t)
	e := s.submit(client.Submission{Action: "demo.twice"})
	fence, first := s.begin(e.ID), s.files(e.ID, 1)
	s.write(first, attune.Stdout, "first\n")
	s.finish(fence, wrote(failed, 6, 0))
	forget(t, first)
	logs := fmt.Sprintf("/api/v1/executions/%d/logs/stdout", e.ID)
	s.wantProblem("GET", logs, "", 404, expired)
	s.begin(e.ID)
	s.wantProblem("GET", logs+"?attempt=1&follow=true", "", 404, expired)
	if text, err := s.log(e.ID, client.LogOptions{}); text != "" || err != nil {
		t.Errorf("of the second one, which has not written yet: %q %v", text, err)
	}
}

// remotely is a server that reads what workers elsewhere have, and the files of the one that is there.
func remotely(t *testing.T) (*server, *artifact.Store) {
	t.Helper()
	kept, err := artifact.New(t.TempDir(), "w1")
	if err != nil {
		t.Fatal(err)
	}
	during := func(run func(context.Context) error) {
		ctx, stop := context.WithCancelCause(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx) }()
		t.Cleanup(func() {
			stop(nil)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	var source *live.Source
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) {
		log := slog.New(slog.DiscardHandler)
		c.Live = live.NewMirror(live.MirrorConfig{Broker: c.Broker, Dir: t.TempDir(), Logger: log})
		during(c.Live.Run)
		source = live.NewSource(live.SourceConfig{
			Broker: c.Broker, Artifacts: kept, Running: func(int64, int) bool { return false }, Logger: log,
		})
	})
	during(func(ctx context.Context) error { return source.Run(ctx, s.worker.ID) })
	return s, kept
}

func TestLogPastItsRetentionElsewhereIsTold(t *testing.T) {
	t.Parallel()
	s, kept := remotely(t)
	ends := func(text string) (id int64, files *artifact.Attempt) {
		t.Helper()
		e := s.echo()
		fence := s.begin(e.ID)
		files, err := kept.Create(e.ID, 1)
		if err != nil {
			t.Fatal(err)
		}
		s.write(files, attune.Stdout, text)
		s.finish(fence, wrote(completed, int64(len(text)), 0))
		return e.ID, files
	}
	for _, follow := range []bool{false, true} {
		here, _ := ends("out\n")
		if text, err := s.log(here, client.LogOptions{Follow: follow}); text != "out\n" || err != nil {
			t.Errorf("while it is kept: %q %v", text, err)
		}
		none, _ := ends("")
		if text, err := s.log(none, client.LogOptions{Follow: follow}); text != "" || err != nil {
			t.Errorf("of one that wrote nothing: %q %v", text, err)
		}
		gone, files := ends("out\n")
		forget(t, files)
		s.wantProblem("GET", fmt.Sprintf("/api/v1/executions/%d/logs/stdout?follow=%v", gone, follow), "", 404, expired)
	}
}

// Where the worker's files are not, the rows tell: what is listed may be had from the worker, and what is not is gone.
func TestLogThatIsNotListedAnyMoreIsTold(t *testing.T) {
	t.Parallel()
	d := newDepot(t, objectstest.Directory(t))
	for at, want := range map[store.Location]string{store.LocationWorker: "the output lies on worker w1", "": expired} {
		e := d.echo()
		d.finish(d.begin(e.ID), wrote(completed, 4, 0))
		if at != "" {
			d.leaves(e.ID, 1, at, "stdout.log", "out\n")
		}
		d.wantProblem("GET", fmt.Sprintf("/api/v1/executions/%d/logs/stdout", e.ID), "", 404, want)
	}
}

// What is on its way into the store is not gone, although nobody here has its file.
func TestPendingLogIsNotTakenForExpired(t *testing.T) {
	t.Parallel()
	s := newServerWithStore(t)
	e := s.echo()
	s.finish(s.begin(e.ID), wrote(completed, 4, 0))
	(&depot{server: s}).leaves(e.ID, 1, store.LocationPending, "stdout.log", "out\n")
	s.wantProblem("GET", fmt.Sprintf("/api/v1/executions/%d/logs/stdout", e.ID), "", 404, "is not in the artifact store yet")
}
