package artifact

import (
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

// ErrTooLarge is for a file that is larger than it may be.
var ErrTooLarge = errors.New("the file is too large")

// CheckFileName returns an error that says how a file's name is written, if that is none below files/.
func CheckFileName(name string) error {
	reason := checkName(name)
	switch {
	case reason != "":
	case !filesBelow(name):
		reason = "it is no plain path below " + filesDir + "/"
	case strings.Count(name, "/") > maxDepth:
		reason = fmt.Sprintf("it is nested deeper than %d directories", maxDepth)
	default:
		return nil
	}
	return attune.Errorf(attune.CodeInvalid, "%.200q can't name an artifact: %s; write %s/report.csv", name, reason, filesDir)
}

// Confirm is asked once a file that is added is there as a whole, and calls place to give it its name, by which it is
// an artifact: at a moment when it is sure that the attempt has not ended. It may do so again if it tries several times.
type Confirm func(added attune.Artifact, place func() error) error

// Add adds a file of at most so many bytes under a name below files/, whole or not at all, while the attempt runs and
// writes there, too. It goes through no link. held is for an attempt that keeps such files back until they are masked;
// confirm is nil if nothing is to be asked. A file that was not placed is removed. An attempt that is over, or not here, and
// what stands in the name's way, are errors with CodeConflict.
func (a *Attempt) Add(name string, content io.Reader, most int64, held bool, confirm Confirm) (attune.Artifact, error) {
	if err := CheckFileName(name); err != nil {
		return attune.Artifact{}, err
	}
	if confirm == nil {
		confirm = func(_ attune.Artifact, place func() error) error { return place() }
	}
	added, err := a.add(strings.TrimPrefix(name, filesDir+"/"), content, most, held, confirm)
	if err == nil || errors.Is(err, ErrTooLarge) || attune.ErrorCode(err) != attune.CodeInternal {
		return added, err
	}
	return added, wrap("add", name, err)
}

func (a *Attempt) add(name string, content io.Reader, most int64, held bool, confirm Confirm) (added attune.Artifact, err error) {
	root, err := os.OpenRoot(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return added, errNotThere()
	}
	if err != nil {
		return added, err
	}
	defer func() { _ = root.Close() }() // a directory
	to, err := a.target(root, held)
	if err != nil {
		return added, err
	}
	defer func() { _ = to.Close() }() // a directory
	if full(to, name) {
		return added, attune.Errorf(attune.CodeConflict, "there are %d files already, which is the most that an attempt can have", MaxFiles)
	}
	temporary, placed := ".added-"+rand.Text(), false
	info, err := write(root, temporary, content, most)
	if err == nil {
		added = a.describe(path.Join(filesDir, name), attune.ArtifactFile, info)
		err = confirm(added, func() (err error) {
			if !placed {
				err = a.place(root, temporary, to, name, held)
				placed = err == nil
			}
			return err
		})
	}
	if err != nil {
		return attune.Artifact{}, errors.Join(err, ignoreMissing(root.Remove(temporary)))
	}
	return added, nil
}

// place gives a file its name.
func (a *Attempt) place(root *os.Root, temporary string, to *os.Root, name string, held bool) error {
	if err := move(root, temporary, to, name); err != nil {
		return err
	}
	if held && !a.holds(to) { // it may have come too late to be taken
		return errors.Join(errNotThere(), ignoreMissing(to.Remove(name)))
	}
	return nil
}

// target opens the directory that files are added to.
func (a *Attempt) target(root *os.Root, held bool) (to *os.Root, err error) {
	if !held {
		if to, err = below(root, filesDir); errors.Is(err, errNoDirectory) {
			err = errNotThere() // the action has put something else there
		}
		return to, err
	}
	if to, err = os.OpenRoot(a.held); errors.Is(err, fs.ErrNotExist) {
		err = errNotThere()
	}
	return to, err
}

// write writes a new file. Its name is none of an artifact, so that nobody sees half a file.
func write(root *os.Root, name string, content io.Reader, most int64) (fs.FileInfo, error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(file, io.LimitReader(content, most+1))
	if err == nil && n > most {
		err = ErrTooLarge
	}
	info, statErr := file.Stat()
	return info, errors.Join(err, statErr, file.Close())
}

// move gives a file a name below another root, with the directories of that name. os.Root would follow links that stay
// inside, and an action may lead one from its files to its log.
func move(from *os.Root, name string, to *os.Root, target string) error {
	dir, err := descend(to, path.Dir(target))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // a directory
	source, err := from.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // the same
	place, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = place.Close() }() // the same
	err = syscall.Renameat(int(source.Fd()), name, int(place.Fd()), path.Base(target))
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return inTheWay(target, "a directory")
	}
	return err
}

// descend opens a directory step by step, and makes what of it is missing.
func descend(root *os.Root, dir string) (*os.Root, error) {
	at, err := root.OpenRoot(".")
	if err != nil || dir == "." {
		return at, err
	}
	for part := range strings.SplitSeq(dir, "/") {
		if err = at.Mkdir(part, dirMode); errors.Is(err, fs.ErrExist) {
			err = nil
		}
		var next *os.Root
		if err == nil {
			next, err = below(at, part)
		}
		_ = at.Close() // a directory
		if errors.Is(err, errNoDirectory) {
			return nil, inTheWay(dir, "no directory")
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// errNoDirectory tells of something else in a directory's place.
var errNoDirectory = errors.New("not a directory")

// below opens a directory right below another one, if it is one and no link to one.
func below(root *os.Root, name string) (*os.Root, error) {
	before, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotThere()
	}
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, errNoDirectory
	}
	dir, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	if !same(root, name, dir) {
		return nil, errors.Join(errNoDirectory, dir.Close())
	}
	return dir, nil
}

// same tells whether an open directory has still its name, and is no link's.
func same(root *os.Root, name string, dir *os.Root) bool {
	named, err := root.Lstat(name)
	if err != nil {
		return false
	}
	opened, err := dir.Stat(".")
	return err == nil && os.SameFile(named, opened)
}

// full tells whether no further file may be there.
func full(root *os.Root, name string) bool {
	if _, err := root.Lstat(name); err == nil {
		return false // it is replaced
	}
	files := 0
	_ = fs.WalkDir(root.FS(), ".", func(_ string, entry fs.DirEntry, err error) error { // what can't be read has none
		if err != nil {
			return fs.SkipDir
		}
		if !entry.IsDir() {
			files++
		}
		if files == MaxFiles {
			return fs.SkipAll
		}
		return nil
	})
	return files == MaxFiles
}

func errNotThere() error {
	return attune.Errorf(attune.CodeConflict, "the attempt has no directory for files here: it has not begun, or it is over")
}

func inTheWay(name, what string) error {
	return attune.Errorf(attune.CodeConflict, "%s can't be added: %s is in the way", path.Join(filesDir, name), what)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
