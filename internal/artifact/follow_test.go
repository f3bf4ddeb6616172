package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type following struct {
	out  *io.PipeReader
	done chan struct{}
	err  chan error
	stop context.CancelCauseFunc
}

func follow(t *testing.T, path string, offset int64) following {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	reader, writer := io.Pipe()
	f := following{out: reader, done: make(chan struct{}), err: make(chan error, 1), stop: stop}
	go func() {
		err := artifact.Follow(ctx, writer, artifact.Tail{Path: path, Offset: offset, Done: f.done})
		writer.CloseWithError(err)
		f.err <- err
	}()
	return f
}

func (f following) expect(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f.out, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func TestFollowGivesBytesWhileTheLogGrows(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	f := follow(t, attempt.LogPath(attune.Stdout), 2) // begins before there is a file
	log, err := attempt.OpenLog(attune.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(log, "..one")
	f.expect(t, "one")
	fmt.Fprint(log, "two")
	f.expect(t, "two")
	fmt.Fprint(log, "last")
	close(f.done)
	rest, err := io.ReadAll(f.out)
	if err != nil || string(rest) != "last" {
		t.Errorf("rest %q, %v", rest, err)
	}
	if err := errors.Join(<-f.err, log.Close()); err != nil {
		t.Error(err)
	}
}

func TestFollowIsWoken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	put(t, path, "all")
	done, wake, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	var got strings.Builder
	go func() { ended <- artifact.Follow(t.Context(), &got, artifact.Tail{Path: path, Done: done, Wake: wake}) }()
	wake <- struct{}{} // received by nobody but Follow
	close(done)
	if err := <-ended; err != nil || got.String() != "all" {
		t.Errorf("%q, %v", got.String(), err)
	}
}

func TestFollowOfALogThatNeverCameEndsWithDone(t *testing.T) {
	t.Parallel()
	f := follow(t, filepath.Join(t.TempDir(), "absent"), 0)
	close(f.done)
	if err := <-f.err; !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("client left")
	path := filepath.Join(t.TempDir(), "log")
	put(t, path, "x")
	f := follow(t, path, 0)
	f.expect(t, "x")
	f.stop(cause)
	if err := <-f.err; !errors.Is(err, cause) {
		t.Errorf("err = %v", err)
	}
}

func TestFollowEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	put(t, path, "x")
	f := follow(t, path, 0)
	f.out.Close()
	if err := <-f.err; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("err = %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}

func TestFollowReadsNothingButARegularFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "secret"), "hunter2")
	for name, put := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink("secret", path) },
		"link out":  func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := filepath.Join(dir, name)
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		f := follow(t, path, 0)
		close(f.done)
		text, err := io.ReadAll(f.out)
		if len(text) > 0 || !errors.Is(err, fs.ErrNotExist) || !errors.Is(<-f.err, fs.ErrNotExist) {
			t.Errorf("%s: read %q, %v", name, text, err)
		}
	}
}
