package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// createKeyring makes a file with one new key. Of several processes that do so at once, one wins, and the others are
// content with its file: a link is made only where there is nothing, and to a file that is complete.
func createKeyring(path string) error {
	key, err := NewMasterKey()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err = withFile(path, key.Text(), nil, func(temp string) error {
		err := os.Link(temp, path)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	return nil
}

// rewrite changes the keyring's file. Two that do so at once take turns.
func (s source) rewrite(change func(*Keyring) *Keyring) error {
	if s.advice != "" {
		return errors.New(s.advice)
	}
	path, err := filepath.EvalSymlinks(s.path) // a link stays one
	if err != nil {
		return err
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	old, _, err := s.readFile()
	if err != nil {
		return err
	}
	k := change(old)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	err = withFile(path, k.Text(), info, func(temp string) error { return os.Rename(temp, path) })
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("the file can't be replaced, do it as a user who may write to its directory: %w", err)
	}
	return err
}

// lockDir locks a directory against others that do so, until unlock or the end of this process. There is no lock file
// that would stay behind.
func lockDir(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), dir.Close())
	}
	return func() { _ = dir.Close() }, nil // gives the lock back
}

// withFile writes a complete file beside path, of the owner of like, has use give it its name, and has all of it on
// disk when it returns. It clears the text.
func withFile(path string, text []byte, like fs.FileInfo, use func(temp string) error) (err error) {
	defer clear(text)
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone if it was renamed
	if err := errors.Join(fill(file, text, like), file.Close()); err != nil {
		return err
	}
	if err := use(file.Name()); err != nil {
		return err
	}
	return syncDir(dir)
}

func fill(file *os.File, text []byte, like fs.FileInfo) error {
	if _, err := file.Write(text); err != nil {
		return err
	}
	if err := keepOwner(file, like); err != nil {
		return err
	}
	return file.Sync()
}

// keepOwner gives the file the owner that the old one has: root renews the key of a service.
func keepOwner(file *os.File, like fs.FileInfo) error {
	if like == nil {
		return nil
	}
	owner, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
