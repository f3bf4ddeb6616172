package artifact

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/attune-automation/attune"
)

// Masking takes out of files and their names what nobody may see.
type Masking interface {
	// Copy copies what is read, masked, and tells whether anything was.
	Copy(to io.Writer, from io.Reader) (bool, error)
	// Text returns a text, masked.
	Text(string) string
	// Holds tells whether anything of a text is to be masked.
	Holds(string) bool
}

// Take moves a directory of files to the attempt's files, masked: every regular file that can be an artifact, and the names
// of all that is there. What can't be one, or can't be masked before ctx ends, is removed, and the error says so. If
// anything of that is left nothing is kept at all. Nothing may write there any more. No file is there in clear: who takes
// over after a crash finds none.
func (a *Attempt) Take(ctx context.Context, from string, by Masking) error {
	info, err := os.Lstat(from)
	if err == nil && !info.IsDir() {
		err = errors.Join(errors.New("the directory for files is none any more: nothing of it is kept"), os.Remove(from))
	}
	if err != nil {
		return wrap("mask", from, err)
	}
	m := masker{ctx: ctx, by: by, tainted: map[string]bool{}}
	if err := m.run(from); err != nil {
		return wrap("mask", from, fmt.Errorf("no file is kept: %w", err))
	}
	return wrap("mask", from, errors.Join(errors.Join(m.faults...), a.move(from)))
}

// move renames a directory, or copies it to another file system.
func (a *Attempt) move(from string) error {
	if err := removeIfThere(a.FilesDir()); err != nil { // it is empty: nobody was told of it
		return err
	}
	err := os.Rename(from, a.FilesDir())
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	temporary := a.FilesDir() + ".new"
	if err := os.CopyFS(temporary, os.DirFS(from)); err != nil {
		return errors.Join(err, os.RemoveAll(temporary))
	}
	return errors.Join(os.Rename(temporary, a.FilesDir()), os.RemoveAll(from))
}

type masker struct {
	ctx     context.Context //nolint:containedctx // of the one call that it lives for
	root    *os.Root
	by      Masking
	files   int
	tainted map[string]bool // what is part of a path that holds a secret
	faults  []error         // of what was removed
	left    error           // why something is there that should not be
}

// run returns an error if anything is left in clear.
func (m *masker) run(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a directory
	m.root = root
	err = m.directory(".", 0)
	return errors.Join(err, m.left)
}

// entry masks what is there, and removes it if it can't.
func (m *masker) entry(name string, info fs.FileInfo, depth int) {
	if err := m.mask(name, info, depth); err != nil {
		m.faults = append(m.faults, fmt.Errorf("%s is removed: %w", name, err))
		m.remove(name)
	}
}

func (m *masker) mask(name string, info fs.FileInfo, depth int) error {
	if reason := checkName(path.Join(filesDir, name)); reason != "" {
		return errors.New(reason)
	}
	m.look(name)
	var err error
	switch {
	case m.ctx.Err() != nil:
		return fmt.Errorf("there was no time to mask it: %w", context.Cause(m.ctx))
	case info.IsDir() && depth == maxDepth, info.Mode().IsRegular() && m.files == MaxFiles:
		return fmt.Errorf("it is beyond %d files, or nested deeper than %d directories", MaxFiles, maxDepth)
	case info.IsDir():
		err = m.directory(name, depth)
	case info.Mode().IsRegular():
		m.files++
		err = m.file(name, info)
	case info.Mode()&fs.ModeSymlink != 0:
		err = m.link(name)
	default:
		return errors.New("not a regular file")
	}
	if err != nil {
		return err
	}
	return m.rename(name)
}

// look finds a secret that is in no name alone but in several of a path.
func (m *masker) look(name string) {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if m.by.Holds(part) {
			parts[i] = "" // masked by itself
		}
	}
	if !m.by.Holds(strings.Join(parts, "/")) {
		return
	}
	for part := name; part != "."; part = path.Dir(part) {
		m.tainted[part] = true
	}
}

func (m *masker) remove(name string) {
	if err := m.root.RemoveAll(name); err != nil {
		m.left = errors.Join(m.left, fmt.Errorf("it can't be removed, either: %w", err))
	}
}

func (m *masker) directory(name string, depth int) error {
	if err := m.root.Chmod(name, 0o700); err != nil { // whatever the action made of it
		return err
	}
	dir, err := m.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // read only
	// All names come before the first one changes: else some could come twice.
	entries, err := dir.Readdir(-1)
	for _, entry := range entries {
		m.entry(path.Join(name, entry.Name()), entry, depth+1)
	}
	return err
}

// file writes a file anew in which anything is to be masked: others stay as they are.
func (m *masker) file(name string, info fs.FileInfo) error {
	from, _, err := openRegular(m.root, name)
	if errors.Is(err, fs.ErrPermission) { // our own file, whose mode keeps even us out
		if err = m.root.Chmod(name, fileMode); err == nil {
			from, _, err = openRegular(m.root, name)
		}
	}
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // read only
	found, err := m.by.Copy(io.Discard, reader{m.ctx, from})
	if err != nil || !found {
		return err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return m.replace(name, reader{m.ctx, from}, info)
}

// reader ends with a context: a file may be larger than there is time for.
type reader struct {
	ctx context.Context //nolint:containedctx // of the one call that it lives for
	io.Reader
}

// Read reads, or fails with the cause of ctx.
func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, fmt.Errorf("there was no time to mask it: %w", context.Cause(r.ctx))
	}
	return r.Reader.Read(p)
}

func (m *masker) replace(name string, from io.Reader, info fs.FileInfo) error {
	temporary := path.Join(path.Dir(name), ".masked-"+rand.Text())
	to, err := m.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = m.by.Copy(to, from)
	if err = errors.Join(err, to.Close()); err == nil {
		err = m.root.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, m.root.Remove(temporary))
	}
	return nil
}

// link removes a link that tells by where it leads.
func (m *masker) link(name string) error {
	target, err := m.root.Readlink(name)
	if err == nil && m.by.Holds(target) {
		return fmt.Errorf("%s leads to a name that holds a secret", attune.Mask)
	}
	return err
}

func (m *masker) rename(name string) error {
	base := path.Base(name)
	masked := m.by.Text(base)
	if masked == base && m.tainted[name] {
		masked = attune.Mask
	}
	if masked == base {
		return nil
	}
	for n, to := 2, masked; ; n++ {
		_, err := m.root.Lstat(path.Join(path.Dir(name), to))
		if errors.Is(err, fs.ErrNotExist) {
			return m.root.Rename(name, path.Join(path.Dir(name), to))
		}
		if err != nil {
			return err
		}
		to = fmt.Sprintf("%s-%d", masked, n)
	}
}
