package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/attune-automation/attune/internal/runtime"
)

// rooms are the private directories of attempts: one tree for each, which is gone when its attempt has ended. To make a
// tree and remove it costs a file system more than many an action takes, so that one which an action has left as it
// found it is set aside, under another name, for the next attempt.
type rooms struct {
	tasks string // where attempts find theirs
	spare string // where the others wait
	max   int    // of those; 0 keeps none
	mu    sync.Mutex
	made  int
	free  []*room
}

// room is one tree.
type room struct {
	path    string // its present one
	dirs    map[string]os.FileInfo
	context []byte
	file    os.FileInfo // that holds it
}

// Names in a room.
const (
	privateDir  = "private"
	workDir     = "work"
	homeDir     = "home"
	tmpDir      = "tmp"
	contextFile = "context.json"
)

var innerDirs = []string{privateDir, workDir, homeDir, tmpDir}

func newRooms(home Home, spare int) *rooms {
	return &rooms{tasks: home.tasks(), spare: home.spare(), max: spare}
}

// enter returns the room of an attempt, empty but for its context file.
func (r *rooms) enter(id string, context []byte) (*room, error) {
	path := filepath.Join(r.tasks, id)
	// What a crash left under this name must not be met by another attempt.
	if err := removeTree(path); err != nil {
		return nil, fmt.Errorf("old private directory: %w", err)
	}
	if one := r.take(); one != nil {
		if err := one.reuse(path, context); err == nil {
			return one, nil
		}
		_ = removeTree(one.path) // if it can't be moved; the next start removes what is left
		_ = removeTree(path)     // if it can't be written to
	}
	one := &room{path: path}
	if err := one.build(context); err != nil {
		return nil, errors.Join(err, removeTree(path))
	}
	return one, nil
}

// leave takes a room back, or removes it if anything in it is not as it was.
func (r *rooms) leave(one *room) error {
	if r.max == 0 || !one.asNew() {
		return removeTree(one.path)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) == r.max {
		return removeTree(one.path)
	}
	r.made++
	if err := one.move(filepath.Join(r.spare, strconv.Itoa(r.made))); err != nil {
		return errors.Join(err, removeTree(one.path))
	}
	r.free = append(r.free, one)
	return nil
}

func (r *rooms) take() *room {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) == 0 {
		return nil
	}
	last := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	return last
}

// close removes the spare rooms.
func (r *rooms) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = nil
	return removeTree(r.spare)
}

func (o *room) dir(name string) string { return filepath.Join(o.path, name) }
func (o *room) contextFile() string    { return filepath.Join(o.path, privateDir, contextFile) }

func (o *room) layout() runtime.Dirs {
	return runtime.Dirs{Private: o.dir(privateDir), Work: o.dir(workDir), Home: o.dir(homeDir), Tmp: o.dir(tmpDir)}
}

func (o *room) build(context []byte) error {
	for _, name := range innerDirs {
		if err := os.MkdirAll(o.dir(name), 0o700); err != nil {
			return err
		}
	}
	o.dirs = map[string]os.FileInfo{}
	for _, name := range append([]string{"."}, innerDirs...) {
		info, err := os.Lstat(o.dir(name))
		if err != nil {
			return err
		}
		o.dirs[name] = info
	}
	return o.write(context)
}

func (o *room) write(context []byte) (err error) {
	if err := os.WriteFile(o.contextFile(), context, 0o600); err != nil {
		return err
	}
	o.context = context
	o.file, err = os.Lstat(o.contextFile())
	return err
}

func (o *room) reuse(path string, context []byte) error {
	if err := o.move(path); err != nil {
		return err
	}
	if bytes.Equal(o.context, context) {
		return nil
	}
	return o.write(context)
}

func (o *room) move(path string) error {
	err := os.Rename(o.path, path)
	if errors.Is(err, os.ErrNotExist) { // the first one
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.Rename(o.path, path)
		}
	}
	if err == nil {
		o.path = path
	}
	return err
}

// asNew tells whether nothing was left in the room, and nothing of it changed hands, modes or place. What it can't look
// at is not as it was.
func (o *room) asNew() bool {
	want := map[string]int{".": len(innerDirs), privateDir: 1}
	for name, before := range o.dirs {
		if now, err := os.Lstat(o.dir(name)); err != nil || !unchanged(before, now) {
			return false
		}
		if !holds(o.dir(name), want[name]) {
			return false
		}
	}
	now, err := os.Lstat(o.contextFile())
	if err != nil || !unchanged(o.file, now) {
		return false
	}
	text, err := os.ReadFile(o.contextFile())
	return err == nil && bytes.Equal(text, o.context)
}

// unchanged tells whether a file is the same one, with the same owner, mode and, if it is no directory, names.
func unchanged(before, now os.FileInfo) bool {
	was, ok := before.Sys().(*syscall.Stat_t)
	is, too := now.Sys().(*syscall.Stat_t)
	return ok && too && os.SameFile(before, now) && before.Mode() == now.Mode() &&
		was.Uid == is.Uid && was.Gid == is.Gid && was.Nlink == is.Nlink
}

// holds tells whether a directory has so many entries.
func holds(path string, entries int) bool {
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }() // read only
	names, err := dir.Readdirnames(entries + 1)
	return len(names) == entries && (err == nil || errors.Is(err, io.EOF))
}
