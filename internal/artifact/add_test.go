package artifact_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
)

func add(attempt *artifact.Attempt, name, content string, held bool) error {
	_, err := attempt.Add(name, strings.NewReader(content), 10, held, nil)
	return err
}

func TestAddedFilesAreArtifacts(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	for name, content := range map[string]string{"files/a": "one", "files/deep/er/ü.txt": "two", "files/ten": "0123456789"} {
		added, err := attempt.Add(name, strings.NewReader(content), 10, false, nil)
		if err != nil || added.Name != name || added.Bytes != int64(len(content)) || added.Type != attune.ArtifactFile || added.Attempt != 1 {
			t.Errorf("%+v %v", added, err)
		}
	}
	if err := add(attempt, "files/a", "another", false); err != nil {
		t.Fatal(err)
	}
	found, err := attempt.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1 file files/a 7", "1 file files/deep/er/ü.txt 3", "1 file files/ten 10"}
	if got := names(found.Artifacts); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	entries, err := os.ReadDir(filepath.Dir(attempt.FilesDir()))
	if err != nil || len(entries) != 1 {
		t.Errorf("something is left: %v %v", entries, err)
	}
	info, err := os.Stat(filepath.Join(attempt.FilesDir(), "deep", "er"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestNamesThatCanNotBeAdded(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	for _, name := range []string{
		"", "a", "files", "files/", "files/../stdout.log", "/files/a", "files//a", "files/./a", "stdout.log", "result.json", "files/a\x00b",
		"files/a\nb", "files/\xff", "files/" + strings.Repeat("d/", 32) + "a", "files/" + strings.Repeat("n", 600),
	} {
		if err := add(attempt, name, "x", false); attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := add(attempt, "files/"+strings.Repeat("d/", 31)+"a", "x", false); err != nil {
		t.Error(err)
	}
}

func TestWhatIsTooLargeIsNotAdded(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	if err := add(attempt, "files/a", "01234567890", false); !errors.Is(err, artifact.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := attempt.Add("files/b", io.MultiReader(strings.NewReader("ab"), brokenReader{}), 10, false, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(attempt.FilesDir()), ".*"))
	if left, listErr := attempt.List(); listErr != nil || err != nil || len(left.Artifacts) != 0 || len(found) != 0 {
		t.Errorf("%+v %v %v", left, found, errors.Join(listErr, err))
	}
}

// brokenReader is the body of a client that has gone.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestWhatIsNotConfirmedLeavesNothing has an attempt end while a file is added to it.
func TestWhatIsNotConfirmedLeavesNothing(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	over := errors.New("it is over")
	_, err := attempt.Add("files/deep/a", strings.NewReader("x"), 10, false, func(attune.Artifact, func() error) error { return over })
	if !errors.Is(err, over) {
		t.Error(err)
	}
	added, err := attempt.Add("files/b", strings.NewReader("x"), 10, false, func(_ attune.Artifact, place func() error) error {
		if found, err := attempt.List(); err != nil || len(found.Artifacts) != 0 {
			t.Errorf("before it is confirmed: %+v %v", found, err)
		}
		return errors.Join(place(), place())
	})
	if err != nil || added.Name != "files/b" {
		t.Errorf("%+v %v", added, err)
	}
	var left []string
	_ = filepath.WalkDir(filepath.Dir(attempt.FilesDir()), func(path string, entry fs.DirEntry, err error) error {
		left = append(left, entry.Name())
		return err
	})
	if !slices.Equal(left[1:], []string{"files", "b"}) {
		t.Errorf("left: %q", left)
	}
}

// TestAddingGoesThroughNoLink has an action leave what would lead a file elsewhere.
func TestAddingGoesThroughNoLink(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	attempt, err := store.Create(42, 1)
	if err != nil {
		t.Fatal(err)
	}
	writeLog(t, attempt, attune.Stdout, "log")
	outside := t.TempDir()
	for name, target := range map[string]string{"out": outside, "up": "..", "inside": "real", "log": "../stdout.log"} {
		if err := os.Symlink(target, filepath.Join(attempt.FilesDir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(attempt.FilesDir(), "real", "x"), "x")
	for _, name := range []string{"files/out/a", "files/up/stdout.log", "files/inside/x", "files/log/a", "files/real/x/y", "files/real"} {
		if err := add(attempt, name, "evil", false); attune.ErrorCode(err) != attune.CodeConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := add(attempt, "files/log", "mine", false); err != nil { // in the link's place
		t.Error(err)
	}
	for path, want := range map[string]string{
		filepath.Join(root, "execution_42", "stdout.log"): "log", filepath.Join(attempt.FilesDir(), "real", "x"): "x",
		filepath.Join(attempt.FilesDir(), "log"): "mine",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", path, got, err)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
	if err := os.RemoveAll(attempt.FilesDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, attempt.FilesDir()); err != nil {
		t.Fatal(err)
	}
	if err := add(attempt, "files/a", "evil", false); attune.ErrorCode(err) != attune.CodeConflict {
		t.Error(err)
	}
}

func TestNoMoreIsAddedThanMayBeThere(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	for i := range artifact.MaxFiles - 1 {
		put(t, filepath.Join(attempt.FilesDir(), fmt.Sprintf("sub%d", i%3), fmt.Sprint(i)), "")
	}
	for name, want := range map[string]attune.Code{"files/last": "", "files/sub0/0": ""} {
		if err := add(attempt, name, "x", false); attune.ErrorCode(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := add(attempt, "files/more", "x", false); attune.ErrorCode(err) != attune.CodeConflict || !strings.Contains(err.Error(), "1000") {
		t.Error(err)
	}
	if err := add(attempt, "files/last", "again", false); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotThereGetsNothing(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	for _, held := range []bool{false, true} {
		if err := add(store.Attempt(7, 1), "files/a", "x", held); attune.ErrorCode(err) != attune.CodeConflict {
			t.Errorf("held %v: %v", held, err)
		}
	}
}

// TestHeldFilesAreMaskedAndMerged adds files to an attempt with secrets beside those that its action leaves.
func TestHeldFilesAreMaskedAndMerged(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	attempt, err := store.Create(42, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := attempt.Hold(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"files/added": "a hunter2", "files/sub/hunter2": "b", "files/own": "later"} {
		if err := add(attempt, name, content, true); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := attempt.List(); err != nil || len(found.Artifacts) != 0 {
		t.Errorf("what is held is seen: %+v %v", found, err)
	}
	if _, _, err := attempt.Open("files/added"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is held is read: %v", err)
	}
	private := filepath.Join(t.TempDir(), "files")
	put(t, filepath.Join(private, "own"), "first")
	put(t, filepath.Join(private, "sub", "x"), "hunter2")
	by := blotting{"hunter2"}
	if err := attempt.Take(t.Context(), private, by); err != nil {
		t.Fatal(err)
	}
	if err := attempt.TakeHeld(t.Context(), by); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"added": "a ***", "sub/***": "b", "own": "later", "sub/x": "***"} {
		if got, err := os.ReadFile(filepath.Join(attempt.FilesDir(), name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if err := add(attempt, "files/late", "hunter2", true); attune.ErrorCode(err) != attune.CodeConflict {
		t.Errorf("too late: %v", err)
	}
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if content, _ := os.ReadFile(path); strings.Contains(string(content), "hunter2") {
				t.Errorf("%s is in clear", path)
			}
		}
		return err
	})
}

func TestHeldFilesOfALostWorkerAreDropped(t *testing.T) {
	t.Parallel()
	store, root := newStore(t)
	for _, id := range []int64{1, 2} {
		attempt, err := store.Create(id, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(attempt.Hold(), add(attempt, "files/a", "hunter2", true)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.DropHeld(); err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(filepath.Join(root, ".held*")); err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
}
