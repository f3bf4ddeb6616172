package artifact_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/host/hosttest"
)

func TestLogKeepsAnyBytesAndAppends(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	content := []byte("a\x00b\xff\xfe\r\nno end")
	for range 2 {
		writeLog(t, attempt, attune.Stdout, string(content))
	}
	got, err := os.ReadFile(attempt.LogPath(attune.Stdout))
	if err != nil || !bytes.Equal(got, append(content, content...)) {
		t.Errorf("%q, %v", got, err)
	}
}

// /dev/full gives a real ENOSPC for every write.
func TestLogOnAFullDiskSwallowsAndCounts(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	if err := os.Symlink("/dev/full", attempt.LogPath(attune.Stdout)); err != nil {
		t.Fatal(err)
	}
	log, err := attempt.OpenLog(attune.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := log.Write([]byte("12345")); n != 5 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	assertLost(t, log, 0, 15, syscall.ENOSPC)
}

func TestLogCountsThePartThatStillFitted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hosttest.SmallDisk(t, dir, "size=64k")
	store, err := artifact.New(dir, "small")
	if err != nil {
		t.Fatal(err)
	}
	attempt, err := store.Create(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	log, err := attempt.OpenLog(attune.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	const total = 100 * 1000
	if _, err := log.Write(make([]byte, total)); err != nil {
		t.Fatal(err)
	}
	kept := log.Kept()
	if kept == 0 || kept >= total {
		t.Fatalf("kept %d: the disk was not filled", kept)
	}
	assertLost(t, log, kept, total-kept, syscall.ENOSPC)
	if err := attempt.WriteResult(bytes.Repeat([]byte("1"), total)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("WriteResult = %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "small/execution_1/.*")); len(left) != 0 {
		t.Errorf("a failed write left %v", left)
	}
}

func assertLost(t *testing.T, log *artifact.Log, kept, lost int64, cause error) {
	t.Helper()
	if log.Kept() != kept || log.Lost() != lost {
		t.Errorf("kept %d, lost %d; want %d and %d", log.Kept(), log.Lost(), kept, lost)
	}
	for _, err := range []error{log.Err(), log.Close(), log.Close()} {
		var named *artifact.Error
		if !errors.Is(err, cause) || !errors.As(err, &named) {
			t.Errorf("error %v, want %v", err, cause)
		}
	}
}

func TestLogWithoutAFileSwallowsToo(t *testing.T) {
	t.Parallel()
	cause := &artifact.Error{Op: "open log", Name: "stdout.log", Err: syscall.EIO}
	log := artifact.LostLog(cause)
	fmt.Fprint(log, "gone")
	assertLost(t, log, 0, 4, syscall.EIO)
}

func TestLogSwallowsAfterClose(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	log, err := attempt.OpenLog(attune.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(log, "late")
	assertLost(t, log, 0, 4, fs.ErrClosed)
}

func TestLogGoesOnWhenTheActionRemovedItsDirectory(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	log, err := attempt.OpenLog(attune.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(attempt.LogPath(attune.Stdout))); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(log, "into an unlinked file")
	if err := log.Close(); err != nil || log.Lost() != 0 {
		t.Errorf("lost %d, %v", log.Lost(), err)
	}
}

func TestNoteBeginsALineOfItsOwn(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{"": "note\n", "a\n": "a\nnote\n", "a": "a\nnote\n"} {
		attempt := newAttempt(t)
		put(t, attempt.LogPath(attune.Stderr), before)
		if err := attempt.Note(attune.Stderr, "note"); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(attempt.LogPath(attune.Stderr)); string(got) != want || err != nil {
			t.Errorf("after %q: %q, %v", before, got, err)
		}
	}
}

func TestNoteAndResultLeaveAloneWhatAnActionPutInTheirPlace(t *testing.T) {
	t.Parallel()
	victim := filepath.Join(t.TempDir(), "victim")
	put(t, victim, "untouched")
	for _, plant := range []func(path string) error{
		func(path string) error { return os.Symlink(victim, path) },
		func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		attempt := newAttempt(t)
		temporary := filepath.Join(filepath.Dir(attempt.LogPath(attune.Stderr)), "."+artifact.ResultFile+".new")
		if err := errors.Join(plant(attempt.LogPath(attune.Stderr)), plant(temporary)); err != nil {
			t.Fatal(err)
		}
		if err := attempt.Note(attune.Stderr, "note"); err == nil {
			t.Error("the note was written somewhere")
		}
		if err := attempt.WriteResult([]byte("{}")); err != nil {
			t.Error(err)
		}
		if result, _, err := attempt.Open(artifact.ResultFile); err != nil {
			t.Error(err)
		} else if err := result.Close(); err != nil {
			t.Error(err)
		}
	}
	if got, err := os.ReadFile(victim); string(got) != "untouched" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
