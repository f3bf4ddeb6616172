package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// memory is an archive's content as a file system. Its entries never change once it was filled.
type memory struct {
	entries map[string]*memoryEntry
	files   int
}

// memoryEntry is a file or a directory, and its own fs.FileInfo and fs.DirEntry.
type memoryEntry struct {
	name     string // the last element of its path
	content  []byte
	mode     fs.FileMode
	children []fs.DirEntry
}

func newMemory() *memory {
	return &memory{entries: map[string]*memoryEntry{".": {name: ".", mode: fs.ModeDir | 0o755}}}
}

func (m *memory) addFile(name string, content []byte, mode fs.FileMode) error {
	if m.files++; m.files > maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	if err := checkPath(name); err != nil {
		return err
	}
	if _, taken := m.entries[name]; taken {
		return errors.New("the name is in the archive twice")
	}
	return m.add(name, &memoryEntry{path.Base(name), content, mode.Perm(), nil})
}

func (m *memory) addDir(name string) error {
	if m.files++; m.files > maxFiles {
		return fmt.Errorf("more than %d entries", maxFiles)
	}
	if err := checkPath(name); err != nil {
		return err
	}
	return m.makeDir(name)
}

// makeDir adds a directory and those above it, unless they are there.
func (m *memory) makeDir(name string) error {
	if found, ok := m.entries[name]; ok {
		if !found.IsDir() {
			return errors.New("the name is in the archive as a file and as a directory")
		}
		return nil
	}
	return m.add(name, &memoryEntry{path.Base(name), nil, fs.ModeDir | 0o755, nil})
}

func (m *memory) add(name string, entry *memoryEntry) error {
	parent := path.Dir(name)
	if err := m.makeDir(parent); err != nil {
		return err
	}
	m.entries[name] = entry
	m.entries[parent].children = append(m.entries[parent].children, entry)
	return nil
}

// Open implements fs.FS.
func (m *memory) Open(name string) (fs.File, error) {
	entry, ok := m.entries[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if entry.IsDir() {
		return &memoryDir{entry, entry.sorted()}, nil
	}
	return &memoryFile{entry, bytes.NewReader(entry.content)}, nil
}

// ReadDir implements fs.ReadDirFS.
func (m *memory) ReadDir(name string) ([]fs.DirEntry, error) {
	entry, ok := m.entries[name]
	if !ok || !entry.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return entry.sorted(), nil
}

// sorted returns the entries of a directory by name.
func (e *memoryEntry) sorted() []fs.DirEntry {
	sorted := slices.Clone(e.children)
	slices.SortFunc(sorted, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return sorted
}

func (e *memoryEntry) Name() string               { return e.name }
func (e *memoryEntry) Size() int64                { return int64(len(e.content)) }
func (e *memoryEntry) Mode() fs.FileMode          { return e.mode }
func (e *memoryEntry) Type() fs.FileMode          { return e.mode.Type() }
func (e *memoryEntry) IsDir() bool                { return e.mode.IsDir() }
func (e *memoryEntry) ModTime() time.Time         { return time.Time{} }
func (e *memoryEntry) Sys() any                   { return nil }
func (e *memoryEntry) Info() (fs.FileInfo, error) { return e, nil }

// memoryFile is an open file.
type memoryFile struct {
	entry *memoryEntry
	*bytes.Reader
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f.entry, nil }

func (f *memoryFile) Close() error { return nil }

// memoryDir is an open directory.
type memoryDir struct {
	entry *memoryEntry
	left  []fs.DirEntry
}

func (d *memoryDir) Stat() (fs.FileInfo, error) { return d.entry, nil }

func (d *memoryDir) Close() error { return nil }

func (d *memoryDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.entry.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *memoryDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(d.left) {
		if n > 0 && len(d.left) == 0 {
			return nil, io.EOF
		}
		n = len(d.left)
	}
	next := d.left[:n]
	d.left = d.left[n:]
	return next, nil
}
