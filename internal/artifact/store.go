package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/attune-automation/attune"
)

// Modes of what the store creates.
const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

const (
	executionPrefix = "execution_"
	attemptPrefix   = "attempt_"
)

// Store is the directory of one worker's artifacts. It may be used by several goroutines and several processes at
// once, as long as only one of them writes an attempt.
type Store struct {
	root string
}

// New returns the store of the worker of this name below dir. It touches no file.
func New(dir, worker string) (*Store, error) {
	if err := attune.CheckWorkerName(worker); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, wrap("locate", dir, err)
	}
	return &Store{root: filepath.Join(abs, worker)}, nil
}

// Dir is the directory that everything is below.
func (s *Store) Dir() string { return s.root }

// Create makes the directory of an attempt (from 1), with an empty files/, and returns it. An attempt that already has
// one keeps what is there: a worker that takes its claim up again after a restart must not lose the log so far.
func (s *Store) Create(executionID int64, attempt int) (*Attempt, error) {
	a := s.Attempt(executionID, attempt)
	if err := os.MkdirAll(a.FilesDir(), dirMode); err != nil {
		return nil, wrap("create", a.dir, err)
	}
	return a, nil
}

// Attempt returns the place of an attempt (from 1), whether or not there is anything.
func (s *Store) Attempt(executionID int64, attempt int) *Attempt {
	dir := s.execution(executionID)
	if attempt > 1 {
		dir = filepath.Join(dir, attemptPrefix+strconv.Itoa(attempt))
	}
	number := max(1, attempt)
	return &Attempt{dir: dir, held: filepath.Join(s.root, heldDir, fmt.Sprintf("%d-%d", executionID, number)), number: number}
}

// Exists tells whether the attempt has a directory here.
func (a *Attempt) Exists() bool {
	info, err := os.Lstat(a.dir)
	return err == nil && info.IsDir()
}

// List returns the artifacts of every attempt of an execution, the first attempt's first. An execution that has none
// gives an empty list.
func (s *Store) List(executionID int64) ([]attune.Artifact, error) {
	attempts, err := s.attempts(executionID)
	if err != nil {
		return nil, err
	}
	var all []attune.Artifact
	for _, a := range attempts {
		found, err := a.List()
		if err != nil {
			return nil, err
		}
		all = append(all, found.Artifacts...)
	}
	return all, nil
}

// Delete removes everything of an execution. What is not there is not an error.
func (s *Store) Delete(executionID int64) error {
	return wrap("delete", s.execution(executionID), removeAll(s.execution(executionID)))
}

func (s *Store) execution(id int64) string {
	return filepath.Join(s.root, fmt.Sprintf("%s%d", executionPrefix, id))
}

func (s *Store) attempts(executionID int64) ([]*Attempt, error) {
	entries, err := os.ReadDir(s.execution(executionID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list", s.execution(executionID), err)
	}
	found := []*Attempt{s.Attempt(executionID, 1)}
	for _, entry := range entries {
		if n, ok := numbered(entry, attemptPrefix); ok && n > 1 {
			found = append(found, s.Attempt(executionID, int(n)))
		}
	}
	sortAttempts(found)
	return found, nil
}

// numbered returns the number behind prefix in a directory's name; names that we would write otherwise don't count.
func numbered(entry fs.DirEntry, prefix string) (int64, bool) {
	digits, ok := strings.CutPrefix(entry.Name(), prefix)
	if !ok || !entry.IsDir() {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == digits
}

// removeAll is os.RemoveAll that also gets through directories whose owner may not write: an action may leave such.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	unlock := func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			// A failure shows in the second RemoveAll.
			_ = os.Chmod(path, dirMode)
		}
		return nil
	}
	// WalkDir reads a directory after its own visit, so each is opened with the bits that were just given.
	if walkErr := filepath.WalkDir(dir, unlock); walkErr != nil {
		return walkErr
	}
	return os.RemoveAll(dir)
}
