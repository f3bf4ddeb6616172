package pack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/attune-automation/attune"
)

// The limits of a pack.
const (
	maxFiles         = 10_000
	maxPathBytes     = 240
	maxUnpackedBytes = 64 << 20
	maxArchiveBytes  = 16 << 20
)

// manifestName is the file that Unpack leaves in a pack's directory. It is never part of a pack.
const manifestName = ".attune-manifest.json"

// tree is the files of a pack: regular ones, and links to those that lie inside.
type tree struct {
	fsys  fs.FS
	sizes map[string]int64
	modes map[string]fs.FileMode // 0644 or 0755
	dirs  map[string]bool
	cut   bool // it is too large, and the rest was not looked at
}

// OpenDir opens a pack's directory so that no link leads out of it; close it after use. Its FS method is for Read and
// Archive.
func OpenDir(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, attune.Errorf(attune.CodeInvalid, "there is no directory %s: name one that holds a %s", dir, packFile)
	case err != nil:
		return nil, attune.Errorf(attune.CodeInvalid, "%s is not a pack's directory: %v", dir, err)
	}
	return root, nil
}

// list walks fsys and reports what a pack may not hold. An error means that fsys can't be read at all.
func list(fsys fs.FS, r *report) (*tree, error) {
	t := &tree{fsys: fsys, sizes: map[string]int64{}, modes: map[string]fs.FileMode{}, dirs: map[string]bool{}}
	var total int64
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return fmt.Errorf("read the pack: %w", err)
		case err != nil:
			r.fail(place{file: name}, "can't be read: %v", err)
			return nil
		case name == ".":
			return nil
		case leftover(entry):
			return skip(entry)
		}
		if entry.IsDir() {
			return t.addDir(name, r)
		}
		total += t.add(name, entry, r)
		err = checkTotal(r, len(t.sizes), total)
		t.cut = err != nil
		return err
	})
	return t, err
}

func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func checkTotal(r *report, files int, bytes int64) error {
	switch {
	case files > maxFiles:
		r.fail(place{file: "."}, "more than %d files: a pack has at most so many", maxFiles)
	case bytes > maxUnpackedBytes:
		r.fail(place{file: "."}, "more than %d MiB: a pack's files have at most so much in all", maxUnpackedBytes>>20)
	default:
		return nil
	}
	return fs.SkipAll
}

// leftover tells whether version control, Python or an editor left this: it belongs to no pack.
func leftover(entry fs.DirEntry) bool {
	name := entry.Name()
	if entry.IsDir() {
		return slices.Contains([]string{".git", ".hg", ".svn", ".bzr", "CVS", "__pycache__"}, name)
	}
	return name == ".git" || name == ".DS_Store" || name == manifestName || strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, ".#") || strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".swp")
}

// addDir takes a directory into the tree. io/fs can't look into one whose name is not UTF-8.
func (t *tree) addDir(name string, r *report) error {
	if !utf8.ValidString(name) {
		r.fail(place{file: fmt.Sprintf("%q", name)}, "%v", checkPath(name))
		return fs.SkipDir
	}
	t.dirs[name] = true
	return nil
}

// add takes one file into the tree and returns its size.
func (t *tree) add(name string, entry fs.DirEntry, r *report) int64 {
	if err := checkPath(name); err != nil {
		r.fail(place{file: fmt.Sprintf("%q", name)}, "%v", err)
		return 0
	}
	info, err := t.resolve(name, entry)
	if err != nil {
		r.fail(place{file: name}, "%v", err)
		return 0
	}
	t.sizes[name] = info.Size()
	t.modes[name] = 0o644 | info.Mode()&0o100>>6*0o111
	return info.Size()
}

// resolve returns what a file or a link inside the pack leads to.
func (t *tree) resolve(name string, entry fs.DirEntry) (fs.FileInfo, error) {
	if entry.Type()&fs.ModeSymlink != 0 {
		target, err := fs.ReadLink(t.fsys, name)
		if err != nil {
			return nil, fmt.Errorf("the link can't be read: %w", err)
		}
		if path.IsAbs(target) || !fs.ValidPath(path.Join(path.Dir(name), target)) {
			return nil, fmt.Errorf("the link leaves the pack: copy the file that it leads to")
		}
	}
	info, err := fs.Stat(t.fsys, name)
	switch {
	case err != nil && entry.Type()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("the link leads nowhere, or out of the pack: copy the file that it means")
	case err != nil:
		return nil, fmt.Errorf("can't be read: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("not a regular file: a pack holds files, directories, and links to its own files")
	}
	return info, nil
}

// checkPath returns an error for a path that not every file system and every archive can hold.
func checkPath(name string) error {
	switch {
	case !utf8.ValidString(name): // first, because such a path is not valid for io/fs either
		return errors.New("the name is not UTF-8: rename it")
	case !fs.ValidPath(name) || name == ".":
		return errors.New("the path is not inside the pack: it is absolute or has .. in it")
	case len(name) > maxPathBytes:
		return fmt.Errorf("the path has %d bytes: at most %d are possible", len(name), maxPathBytes)
	case strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, `\`):
		return errors.New("the path must be without control characters and backslashes")
	}
	return nil
}

func (t *tree) has(name string) bool { _, ok := t.sizes[name]; return ok }

func (t *tree) hasDir(name string) bool { return t.dirs[name] }

// names returns the paths of all files, sorted.
func (t *tree) names() []string {
	found := make([]string, 0, len(t.sizes))
	for name := range t.sizes {
		found = append(found, name)
	}
	slices.Sort(found)
	return found
}

// read returns at most limit bytes of a file.
func (t *tree) read(name string, limit int64) ([]byte, error) {
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, limit))
	return content, errors.Join(err, f.Close())
}
