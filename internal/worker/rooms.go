package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/runtime"
)

// rooms are the private directories of attempts: one tree for each, which is gone when its attempt has ended. To make a
// tree and remove it costs a file system more than many an action takes, so that one which an action has left as it
// found it is set aside, under another name, for the next attempt.
type rooms struct {
	tasks string // where attempts find theirs
	spare string // where the others wait
	brief bool   // its worker may be gone after one command: no room waits for a second one until that has come
	mu    sync.Mutex
	asked int // how often one was
	made  int
	free  []*room
}

// room is one tree.
type room struct {
	path    string           // its present one
	made    map[string]inode // of everything in it, by name
	context []byte
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

// newRooms returns the rooms of a worker, of which there are never more than it has had slots in use.
func newRooms(home Home, brief bool) *rooms {
	return &rooms{tasks: home.tasks(), spare: home.spare(), brief: brief}
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
	if !r.keeps() || !one.asNew() {
		return removeTree(one.path)
	}
	if err := one.move(filepath.Join(r.spare, r.name())); err != nil {
		return errors.Join(err, removeTree(one.path))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, one)
	return nil
}

func (r *rooms) keeps() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.brief || r.asked > 1
}

// name returns one that no spare room has.
func (r *rooms) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	return strconv.Itoa(r.made)
}

func (r *rooms) take() *room {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
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
	return o.write(context)
}

// write writes the context file, and notes how the room is then.
func (o *room) write(context []byte) error {
	if err := os.WriteFile(o.contextFile(), context, 0o600); err != nil {
		return err
	}
	o.context, o.made = context, map[string]inode{}
	for _, name := range o.names() {
		var err error
		if o.made[name], err = lookAt(o.dir(name), nil); err != nil {
			return err
		}
	}
	return nil
}

// names are those of all that a room has, itself first.
func (o *room) names() []string {
	return append([]string{".", filepath.Join(privateDir, contextFile)}, innerDirs...)
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

// asNew tells whether nothing was left in the room, and nothing of it is another than it was, in whatever a next attempt
// could see or feel. What it can't look at is not as it was.
func (o *room) asNew() bool {
	inside := map[string]func(*os.File) error{
		".": holds(innerDirs...), privateDir: holds(contextFile), filepath.Join(privateDir, contextFile): o.says,
		workDir: holds(), homeDir: holds(), tmpDir: holds(),
	}
	for _, name := range o.names() {
		if now, err := lookAt(o.dir(name), inside[name]); err != nil || now != o.made[name] {
			return false
		}
	}
	return true
}

// errSpoilt says that somebody has left something.
var errSpoilt = errors.New("it is not as it was")

// holds returns a check that a directory has these entries and no others.
func holds(names ...string) func(*os.File) error {
	return func(dir *os.File) error {
		found, err := dir.Readdirnames(len(names) + 1)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		slices.Sort(found)
		if !slices.Equal(found, slices.Sorted(slices.Values(names))) {
			return errSpoilt
		}
		return nil
	}
}

// says checks what the context file says, however large an action has made it.
func (o *room) says(file *os.File) error {
	text, err := io.ReadAll(io.LimitReader(file, int64(len(o.context))+1))
	if err == nil && !bytes.Equal(text, o.context) {
		err = errSpoilt
	}
	return err
}

// inode is what may be changed of a file or a directory beside its content.
type inode struct {
	dev, ino   uint64
	mode       uint32
	uid, gid   uint32
	links      uint64
	size       int64  // of a file
	flags      int    // chattr(1)
	attributes string // the names of its extended attributes, ACLs among them
}

// lookAt opens what is at a path, whatever an action may have put there, and asks it; then is looks into it.
func lookAt(path string, is func(*os.File) error) (i inode, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return i, err
	}
	defer func() { _ = file.Close() }() // read only
	fd := int(file.Fd())
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return i, err
	}
	i = inode{
		dev: stat.Dev, ino: stat.Ino, mode: stat.Mode, uid: stat.Uid, gid: stat.Gid, links: uint64(stat.Nlink), //nolint:unconvert // 32 bits on arm64
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		i.size = stat.Size
	}
	if i.flags, err = unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err != nil {
		i.flags = 0 // a file system that has none
	}
	names := make([]byte, 1024) // more than that is more than there was
	n, err := unix.Flistxattr(fd, names)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return i, err
	}
	i.attributes = string(names[:max(n, 0)])
	if is == nil {
		return i, nil
	}
	return i, is(file)
}
