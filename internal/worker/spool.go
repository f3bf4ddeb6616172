package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/attune-automation/attune"
)

// ending is how an attempt ended, on its way to the database.
type ending struct {
	Fence     attune.Fence      `json:"fence"`
	Outcome   attune.Outcome    `json:"outcome"`
	Artifacts []attune.Artifact `json:"artifacts"`
	EndedAt   time.Time         `json:"ended_at"` // by this host's clock
}

// spool keeps endings that the database can't take now in files of the worker's home, and gives them back in the order
// in which they came. It survives the worker. A nil-like spool without files is the usual case and costs nothing.
type spool struct {
	dir   string
	mu    sync.Mutex
	next  int
	files []spooled
	added chan struct{} // gets a value when there is something new
}

// spooled is one file: its number, and what is in it.
type spooled struct {
	number int
	held   bool // somebody else holds its row: the others need not wait for it
	ending
}

func newSpool(dir string) *spool { return &spool{dir: dir, next: 1, added: make(chan struct{}, 1)} }

// load reads what an earlier life has left. A file that holds no ending is set aside for a person; one that can't be
// read now stays for the next start.
func (s *spool) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files, s.next = nil, 1
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	var faults []error
	for _, entry := range entries {
		digits, ok := strings.CutSuffix(entry.Name(), ".json")
		number, err := strconv.Atoi(digits)
		if !ok || err != nil {
			continue // being written when the worker died, or set aside
		}
		s.next = max(s.next, number+1)
		file, err := s.read(number)
		if errors.Is(err, errNoEnding) {
			err = errors.Join(err, s.rename(number, unreadable))
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		s.files = append(s.files, file)
	}
	slices.SortFunc(s.files, func(a, b spooled) int { return a.number - b.number })
	return errors.Join(faults...)
}

// errNoEnding says that a file was read and holds something else.
var errNoEnding = errors.New("it holds no result and is set aside")

// Endings of the names of files that were set aside.
const (
	unreadable = ".unreadable"
	refused    = ".refused"
)

func (s *spool) read(number int) (file spooled, err error) {
	text, err := os.ReadFile(s.path(number))
	if err != nil {
		return file, err
	}
	file.number = number
	if err := json.Unmarshal(text, &file.ending); err != nil {
		return file, fmt.Errorf("%s: %w: %w", s.path(number), errNoEnding, err)
	}
	return file, nil
}

func (s *spool) path(number int) string {
	return filepath.Join(s.dir, fmt.Sprintf("%09d.json", number))
}

func (s *spool) rename(number int, suffix string) error {
	return os.Rename(s.path(number), s.path(number)+suffix)
}

// put adds an ending; when it returns nil, the ending survives a power cut.
func (s *spool) put(e ending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := s.make(); err != nil {
		return err
	}
	path := s.path(s.next)
	if err := writeSynced(path+".new", text); err != nil {
		return errors.Join(err, removeIfThere(path+".new"))
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return errors.Join(err, removeIfThere(path)) // it is told of some other way: never twice
	}
	s.files = append(s.files, spooled{number: s.next, ending: e})
	s.next++
	select {
	case s.added <- struct{}{}:
	default: // whoever delivers is awake
	}
	return nil
}

// make makes the directory on first use, so that a power cut can't take it.
func (s *spool) make() error {
	err := os.Mkdir(s.dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return errors.Join(err, syncDir(filepath.Dir(s.dir)))
}

// first returns the oldest ending whose row nobody holds, or else the oldest.
func (s *spool) first() (spooled, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) == 0 {
		return spooled{}, false
	}
	return s.files[max(0, slices.IndexFunc(s.files, func(f spooled) bool { return !f.held }))], true
}

// hold notes that somebody else holds the row of an ending, and returns whether others wait that can go first.
func (s *spool) hold(file spooled) (others bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.files {
		if s.files[i].number == file.number {
			s.files[i].held = true
		}
		others = others || !s.files[i].held
	}
	return others
}

// clear tells whether nothing waits whose turn comes before that of what ends now.
func (s *spool) clear() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.files, func(f spooled) bool { return !f.held })
}

// drop removes an ending that was delivered.
func (s *spool) drop(file spooled) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = slices.DeleteFunc(s.files, func(f spooled) bool { return f.number == file.number })
	return removeIfThere(s.path(file.number))
}

// setAside takes an ending out that the database will never take, and returns where a person finds it.
func (s *spool) setAside(file spooled) (path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = slices.DeleteFunc(s.files, func(f spooled) bool { return f.number == file.number })
	return s.path(file.number) + refused, s.rename(file.number, refused)
}

// size returns how many endings wait.
func (s *spool) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.files)
}

// holds tells whether the end of an attempt waits here.
func (s *spool) holds(f attune.Fence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.files, func(file spooled) bool { return file.Fence == f })
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncDir makes the names in a directory survive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
