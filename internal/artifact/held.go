package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// heldDir keeps, beside all executions of a worker, what is added to attempts that were given secrets. Nothing there is an
// artifact: it may hold what is to be masked, which is done when the attempt has ended.
const heldDir = ".held"

// takenEnding names what was held once nothing more can be added.
const takenEnding = ".taken"

// Hold makes the place where Add keeps files back until TakeHeld.
func (a *Attempt) Hold() error { return wrap("hold", a.held, os.MkdirAll(a.held, dirMode)) }

// holds tells whether an open directory is still where files are kept back.
func (a *Attempt) holds(dir *os.Root) bool {
	named, err := os.Lstat(a.held)
	if err != nil {
		return false
	}
	opened, err := dir.Stat(".")
	return err == nil && os.SameFile(named, opened)
}

// TakeHeld ends Hold: what was added is masked, if by is not nil, and moved to the attempt's files, where it replaces what
// has the same name. The action has ended, and Take was called. What can't be an artifact, or can't be masked before ctx
// ends, is removed, and the error says so.
func (a *Attempt) TakeHeld(ctx context.Context, by Masking) error {
	taken := a.held + takenEnding
	if err := os.Rename(a.held, taken); err != nil {
		return wrap("mask", a.held, err)
	}
	var faults []error
	if by != nil {
		m := masker{ctx: ctx, by: by, tainted: map[string]bool{}}
		if err := m.run(taken); err != nil {
			err = fmt.Errorf("no file that was added is kept: %w", err)
			return wrap("mask", a.held, errors.Join(err, os.RemoveAll(taken)))
		}
		faults = m.faults
	}
	faults = append(faults, a.merge(taken), os.RemoveAll(taken))
	return wrap("mask", a.held, errors.Join(faults...))
}

// merge moves files from a directory to those of the attempt.
func (a *Attempt) merge(dir string) error {
	if err := os.Mkdir(a.FilesDir(), dirMode); err != nil && !errors.Is(err, fs.ErrExist) { // the action may have removed it
		return err
	}
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a directory
	files, err := below(root, filesDir)
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // the same
	from, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // the same
	var faults []error
	err = fs.WalkDir(from.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			faults = append(faults, move(from, name, files, name))
		}
		return err
	})
	return errors.Join(append(faults, err)...)
}

// DropHeld removes what was added to attempts of a worker that is no more, and never masked. Nothing may run there.
func (s *Store) DropHeld() error {
	dir := filepath.Join(s.root, heldDir)
	return wrap("delete", dir, os.RemoveAll(dir))
}
