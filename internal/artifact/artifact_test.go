package artifact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
)

func newStore(t *testing.T) (*artifact.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := artifact.New(dir, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	return store, filepath.Join(dir, "web-1")
}

func newAttempt(t *testing.T) *artifact.Attempt {
	t.Helper()
	store, _ := newStore(t)
	attempt, err := store.Create(42, 1)
	if err != nil {
		t.Fatal(err)
	}
	return attempt
}

func writeLog(t *testing.T, attempt *artifact.Attempt, stream attune.Stream, text string) {
	t.Helper()
	log, err := attempt.OpenLog(stream)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(log, text)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(artifacts []attune.Artifact) []string {
	var all []string
	for _, a := range artifacts {
		all = append(all, fmt.Sprintf("%d %s %s %d", a.Attempt, a.Type, a.Name, a.Bytes))
	}
	return all
}

func TestLayoutIsTheContracts(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	for n, attempt := range map[int]string{1: "execution_42", 2: "execution_42/attempt_2", 10: "execution_42/attempt_10"} {
		a, err := store.Create(42, n)
		if err != nil {
			t.Fatal(err)
		}
		writeLog(t, a, attune.Stdout, "out\n")
		if _, err := os.Stat(filepath.Join(root, attempt, "stdout.log")); err != nil {
			t.Error(err)
		}
	}
	first := store.Attempt(42, 1)
	writeLog(t, first, attune.Stderr, "")
	if err := first.WriteResult(json.RawMessage(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := first.WriteTrace(json.RawMessage(`[]`)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(first.FilesDir(), "report", "a.txt"), "abc")
	found, err := store.List(42)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1 log stdout.log 4", "1 log stderr.log 0", "1 result result.json 8", "1 trace trace.json 3",
		"1 file files/report/a.txt 3", "2 log stdout.log 4", "10 log stdout.log 4",
	}
	if diff := cmp.Diff(want, names(found)); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	attempt, err := store.Create(7, 2)
	if err != nil {
		t.Fatal(err)
	}
	writeLog(t, attempt, attune.Stdout, "secret")
	if err := attempt.WriteResult(json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNamesOfWorkersAreChecked(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "..", "a/b", "Web"} {
		if _, err := artifact.New(t.TempDir(), name); attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("New(%q) = %v", name, err)
		}
	}
}

func TestOpenReadsWhatListNames(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	writeLog(t, attempt, attune.Stdout, "hello")
	put(t, filepath.Join(attempt.FilesDir(), "ü ber", "x..y"), "file")
	for name, want := range map[string]string{"stdout.log": "hello", "files/ü ber/x..y": "file"} {
		file, described, err := attempt.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(file)
		if err != nil || string(got) != want || described.Bytes != int64(len(want)) {
			t.Errorf("Open(%q) = %q, %+v, %v", name, got, described, err)
		}
		file.Close()
	}
}

func TestOpenRefusesWhatIsNotAnArtifact(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	attempt, err := store.Create(42, 1)
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(root, "outside")
	put(t, outside, "not yours")
	put(t, filepath.Join(root, "execution_42/attempt_2/stdout.log"), "other attempt")
	links := map[string]string{"link": outside, "dir": root, "up": "../../outside", "log": "../stdout.log"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(attempt.FilesDir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(attempt.FilesDir(), "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", ".", "..", "files", "files/", "/etc/passwd", "../../outside", "files/../../../outside", "files/link",
		"files/dir/outside", "files/up", "files/log", "files/fifo", "attempt_2/stdout.log", "files/./a", "files//a",
		"files/\x00", "absent.log", "files/absent",
	} {
		file, _, err := attempt.Open(name)
		var named *artifact.Error
		if !errors.As(err, &named) || named.Op != "open" {
			t.Errorf("Open(%q) = %v, %v", name, file, err)
		}
	}
}

func TestCollectTakesRegularFilesAndReportsTheRest(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	dir := attempt.FilesDir()
	put(t, filepath.Join(dir, "b.txt"), "bb")
	put(t, filepath.Join(dir, "a", "deep", "c.txt"), "c")
	put(t, filepath.Join(dir, "bad\nname"), "x")
	put(t, filepath.Join(dir, "bad\xffname"), "x")
	deep := filepath.Join(dir, strings.Repeat("d/", 40))
	put(t, filepath.Join(deep, "too-deep"), "x")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := attempt.Collect()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1 file files/a/deep/c.txt 1", "1 file files/b.txt 2"}
	if diff := cmp.Diff(want, names(found.Artifacts)); diff != "" {
		t.Error(diff)
	}
	if len(found.Skipped) != 5 {
		t.Errorf("skipped %+v", found.Skipped)
	}
}

func TestCollectIsBounded(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	for i := range artifact.MaxFiles + 5 {
		put(t, filepath.Join(attempt.FilesDir(), fmt.Sprintf("sub%d", i%3), fmt.Sprint(i)), "")
	}
	for i := range 30 {
		put(t, filepath.Join(attempt.FilesDir(), fmt.Sprintf("\x01%d", i)), "")
	}
	found, err := attempt.Collect()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Artifacts) != artifact.MaxFiles || len(found.Skipped) != 20 || found.Omitted == 0 {
		t.Errorf("%d artifacts, %d skipped, %d omitted", len(found.Artifacts), len(found.Skipped), found.Omitted)
	}
}

func TestCollectOutlivesAnActionThatRemovedItsDirectory(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	if err := os.RemoveAll(attempt.FilesDir()); err != nil {
		t.Fatal(err)
	}
	if found, err := attempt.Collect(); err != nil || len(found.Artifacts) != 0 {
		t.Errorf("removed: %+v, %v", found, err)
	}
	if err := os.Symlink("/etc", attempt.FilesDir()); err != nil {
		t.Fatal(err)
	}
	if found, err := attempt.Collect(); err != nil || len(found.Artifacts) != 0 || len(found.Skipped) != 1 {
		t.Errorf("replaced by a link: %+v, %v", found, err)
	}
}

func TestDeleteRemovesEverythingOfOneExecution(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	for id := range int64(3) {
		attempt, err := store.Create(id+1, 2)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(attempt.FilesDir(), "locked", "f"), "x")
		if err := os.Chmod(filepath.Join(attempt.FilesDir(), "locked"), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what is gone already is no error
		if err := store.Delete(2); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
	if found, err := store.List(2); err != nil || found != nil {
		t.Errorf("List = %v, %v", found, err)
	}
}

func TestErrorsAreNamed(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	put(t, filepath.Join(root, "execution_9"), "a file where the directory should be")
	_, create := store.Create(9, 1)
	gone := store.Attempt(10, 1)
	_, open := gone.OpenLog(attune.Stdout)
	for op, err := range map[string]error{"create": create, "open log": open, "write": gone.WriteResult([]byte("1"))} {
		var named *artifact.Error
		if !errors.As(err, &named) || named.Op != op || named.Unwrap() == nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}
