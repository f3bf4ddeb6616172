package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/host/hosttest"
)

// blotting masks one word.
type blotting struct{ word string }

func (b blotting) Text(text string) string { return strings.ReplaceAll(text, b.word, "***") }

func (b blotting) Holds(text string) bool { return strings.Contains(text, b.word) }

func (b blotting) Copy(to io.Writer, from io.Reader) (bool, error) {
	text, err := io.ReadAll(from)
	if err == nil && bytes.Contains(text, []byte("unreadable")) {
		err = errors.New("it can't be read")
	}
	masked := b.Text(string(text))
	_, fault := io.WriteString(to, masked)
	return masked != string(text), errors.Join(err, fault)
}

func TestTakeMasksAll(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	dir := filepath.Join(t.TempDir(), "files")
	for name, text := range map[string]string{
		"plain.txt": "nothing here", "note.txt": "it is hunter2, hunter2", "deep/er/hunter2.txt": "x", "hunter2/a": "hunter2",
		"locked/closed.txt": "hunter2", "bad.txt": "unreadable hunter2", "***": "taken", "more/hunter2-a": "1", "more/***-a": "2",
	} {
		put(t, filepath.Join(dir, name), text)
	}
	for link, target := range map[string]string{"to-hunter2": "plain.txt", "to": "/hunter2", "fine": "plain.txt"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{"locked/closed.txt": 0, "locked": 0} {
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(filepath.Join(dir, "plain.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := attempt.Take(t.Context(), dir, blotting{"hunter2"}); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Errorf("Take: %v", err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	dir = attempt.FilesDir()
	found := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		found[name] = ""
		if entry.Type().IsRegular() {
			text, err := os.ReadFile(path)
			found[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"plain.txt": "nothing here", "note.txt": "it is ***, ***", "deep/er/***.txt": "x", "***-2/a": "***",
		"locked/closed.txt": "***", "***": "taken", "more/***-a-2": "1", "more/***-a": "2", "to-***": "", "fine": "",
	}
	for name, text := range want {
		if got, ok := found[name]; !ok || got != text {
			t.Errorf("%s holds %q (%v), want %q", name, got, ok, text)
		}
		delete(found, name)
	}
	if len(found) > 0 {
		t.Errorf("there is more: %v", found)
	}
	if after, err := os.Stat(filepath.Join(dir, "plain.txt")); err != nil || !os.SameFile(before, after) {
		t.Errorf("a file without secrets is another one: %v", err)
	}
}

func TestTakeOfNothing(t *testing.T) {
	t.Parallel()
	attempt, dir := newAttempt(t), t.TempDir()
	if err := attempt.Take(t.Context(), filepath.Join(dir, "none"), blotting{"x"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a directory that is not there: %v", err)
	}
	put(t, filepath.Join(dir, "file"), "hunter2")
	if err := attempt.Take(t.Context(), filepath.Join(dir, "file"), blotting{"hunter2"}); err == nil {
		t.Error("a file in its place was taken")
	}
	if err := attempt.Take(t.Context(), t.TempDir(), blotting{"x"}); err != nil {
		t.Error(err)
	}
}

// TestTakeFromAnotherFileSystem has the files in memory.
func TestTakeFromAnotherFileSystem(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	dir, err := os.MkdirTemp("/dev/shm", "attune-test-*") //nolint:usetesting // in memory, unlike what others get
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	put(t, filepath.Join(dir, "deep/note.txt"), "it is hunter2")
	if err := attempt.Take(t.Context(), dir, blotting{"hunter2"}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(attempt.FilesDir(), "deep/note.txt")); err != nil || string(text) != "it is ***" {
		t.Errorf("%q %v", text, err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

var _ artifact.Masking = blotting{}

// TestTakeFollowsNoLink has a link in the place of the directory, which leads to somebody else's.
func TestTakeFollowsNoLink(t *testing.T) {
	t.Parallel()
	attempt, theirs := newAttempt(t), t.TempDir()
	put(t, filepath.Join(theirs, "conf"), "it is hunter2")
	link := filepath.Join(t.TempDir(), "files")
	if err := os.Symlink(theirs, link); err != nil {
		t.Fatal(err)
	}
	if err := attempt.Take(t.Context(), link, blotting{"hunter2"}); err == nil {
		t.Error("a link was taken")
	}
	if text, err := os.ReadFile(filepath.Join(theirs, "conf")); err != nil || string(text) != "it is hunter2" {
		t.Errorf("what it leads to was changed: %q %v", text, err)
	}
	if found, err := attempt.Collect(); err != nil || len(found.Artifacts) > 0 {
		t.Errorf("%+v %v", found, err)
	}
}

// TestTakeKeepsNothingThatItCantMask has a file that nobody can change or remove.
func TestTakeKeepsNothingThatItCantMask(t *testing.T) {
	t.Parallel()
	attempt, dir := newAttempt(t), filepath.Join(t.TempDir(), "files")
	path := filepath.Join(dir, "conf")
	put(t, path, "it is hunter2")
	put(t, filepath.Join(dir, "other"), "it is not")
	out, err := exec.CommandContext(t.Context(), "chattr", "+i", path).CombinedOutput()
	hosttest.Needs(t, err == nil, "no file here can be made immutable: %s", out)
	t.Cleanup(func() { _ = exec.Command("chattr", "-i", path).Run() })
	if err := attempt.Take(t.Context(), dir, blotting{"hunter2"}); err == nil || !strings.Contains(err.Error(), "no file is kept") {
		t.Errorf("Take: %v", err)
	}
	if found, err := attempt.Collect(); err != nil || len(found.Artifacts) > 0 {
		t.Errorf("%+v %v", found, err)
	}
}

// TestTakeEndsInTime has no time at all.
func TestTakeEndsInTime(t *testing.T) {
	t.Parallel()
	attempt, dir := newAttempt(t), filepath.Join(t.TempDir(), "files")
	put(t, filepath.Join(dir, "large"), strings.Repeat("hunter2", 1000))
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("the time is up"))
	if err := attempt.Take(ctx, dir, blotting{"hunter2"}); err == nil || !strings.Contains(err.Error(), "no time to mask it: the time is up") {
		t.Errorf("Take: %v", err)
	}
	if found, err := attempt.Collect(); err != nil || len(found.Artifacts) > 0 {
		t.Errorf("%+v %v", found, err)
	}
}

func TestTakeMasksAPathThatIsASecret(t *testing.T) {
	t.Parallel()
	attempt, dir := newAttempt(t), filepath.Join(t.TempDir(), "files")
	put(t, filepath.Join(dir, "abcd/efgh/note"), "x")
	put(t, filepath.Join(dir, "fine/note"), "y")
	if err := attempt.Take(t.Context(), dir, blotting{"abcd/efgh"}); err != nil {
		t.Fatal(err)
	}
	found, err := attempt.Collect()
	if err != nil || len(found.Artifacts) != 2 {
		t.Fatalf("%+v %v", found, err)
	}
	for _, a := range found.Artifacts {
		if strings.Contains(a.Name, "efgh") || strings.Contains(a.Name, "abcd") {
			t.Errorf("%s is kept", a.Name)
		}
	}
}
