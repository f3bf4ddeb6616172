package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/attune-automation/attune"
)

// Names of an attempt's own files.
const (
	ResultFile = "result.json"
	TraceFile  = "trace.json"
	filesDir   = "files"
)

// Attempt is the directory of one attempt of one execution.
type Attempt struct {
	dir    string
	held   string // see heldDir
	number int
}

// FilesDir is the directory that the action gets as $ATTUNE_ARTIFACTS_DIR.
func (a *Attempt) FilesDir() string { return filepath.Join(a.dir, filesDir) }

// LogPath is where a stream's log is or will be, for Follow.
func (a *Attempt) LogPath(stream attune.Stream) string { return filepath.Join(a.dir, stream.LogFile()) }

// WriteResult stores the attempt's result as result.json, whole or not at all.
func (a *Attempt) WriteResult(result json.RawMessage) error { return a.write(ResultFile, result) }

// WriteTrace stores the execution's steps as trace.json, whole or not at all.
func (a *Attempt) WriteTrace(trace json.RawMessage) error { return a.write(TraceFile, trace) }

// write goes through a temporary name, so that a reader or a crash never meets half a document.
func (a *Attempt) write(name string, document []byte) error {
	temporary := filepath.Join(a.dir, "."+name+".new")
	err := removeIfThere(temporary)
	if err == nil {
		err = writeNew(temporary, append(bytes.TrimRight(document, "\n"), '\n'))
	}
	if err == nil {
		err = os.Rename(temporary, filepath.Join(a.dir, name))
	}
	if err != nil {
		err = errors.Join(err, removeIfThere(temporary))
	}
	return wrap("write", filepath.Join(a.dir, name), err)
}

// writeNew writes a file that must not be there yet: an action may have left a link or a FIFO under its name.
func writeNew(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// List returns what the attempt left: logs, result, trace and files, at most MaxFiles of the latter, sorted by name
// within each kind; and which files are no artifacts, as Collect does.
func (a *Attempt) List() (Collection, error) {
	var own []attune.Artifact
	for _, file := range a.ownFiles() {
		info, err := os.Lstat(filepath.Join(a.dir, file.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Collection{}, wrap("list", file.Name, err)
		}
		own = append(own, a.describe(file.Name, file.Type, info))
	}
	found, err := a.Collect()
	found.Artifacts = append(own, found.Artifacts...)
	return found, err
}

func (a *Attempt) ownFiles() []attune.Artifact {
	return []attune.Artifact{
		{Name: attune.Stdout.LogFile(), Type: attune.ArtifactLog},
		{Name: attune.Stderr.LogFile(), Type: attune.ArtifactLog},
		{Name: ResultFile, Type: attune.ArtifactResult},
		{Name: TraceFile, Type: attune.ArtifactTrace},
	}
}

func (a *Attempt) describe(name string, kind attune.ArtifactType, info fs.FileInfo) attune.Artifact {
	return attune.Artifact{Name: name, Type: kind, Bytes: info.Size(), Attempt: a.number, CreatedAt: info.ModTime()}
}

// Open opens an artifact by the name that List gives it, for reading. The error wraps fs.ErrNotExist for a name that
// is none, and names that lead out of the attempt's directory, through "..", an absolute path or a symbolic link, are
// refused.
func (a *Attempt) Open(name string) (io.ReadSeekCloser, attune.Artifact, error) {
	file, described, err := a.open(name)
	if err != nil {
		return nil, attune.Artifact{}, wrap("open", name, err)
	}
	return file, described, nil
}

func (a *Attempt) open(name string) (*os.File, attune.Artifact, error) {
	kind, known := a.typeOf(name)
	if !known {
		return nil, attune.Artifact{}, fs.ErrNotExist
	}
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		return nil, attune.Artifact{}, err
	}
	defer func() { _ = root.Close() }() // a directory
	file, info, err := openRegular(root, name)
	if err != nil {
		return nil, attune.Artifact{}, err
	}
	return file, a.describe(name, kind, info), nil
}

// openRegular opens a regular file for reading; everything else that an action may have left under that name is
// fs.ErrNotExist. It looks before and after opening: a FIFO would wait for a writer that never comes, and a link may
// take the file's place in between.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, nil, asMissing(err)
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, asMissing(err)
	}
	info, err := file.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// asMissing turns what tells that a name leads nowhere in the directory into fs.ErrNotExist: a file where a directory
// should be, a loop of links, or a link that leads out, which is os.Root's refusal and the only error here that is not
// the system's.
func asMissing(err error) error {
	var system syscall.Errno
	if !errors.As(err, &system) || system == syscall.ENOTDIR || system == syscall.ELOOP {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// typeOf tells what a name stands for; names below another attempt's directory stand for nothing here.
func (a *Attempt) typeOf(name string) (attune.ArtifactType, bool) {
	own := a.ownFiles()
	if i := slices.IndexFunc(own, func(f attune.Artifact) bool { return f.Name == name }); i >= 0 {
		return own[i].Type, true
	}
	return attune.ArtifactFile, checkName(name) == "" && filesBelow(name)
}

func sortAttempts(attempts []*Attempt) {
	slices.SortFunc(attempts, func(a, b *Attempt) int { return a.number - b.number })
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
