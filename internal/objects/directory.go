package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// uploading is where objects are written before they come to their place. No worker's name has a capital letter.
const uploading = ".Uploading"

// abandonedAge is how long nobody has written to an object of which its process has died.
const abandonedAge = 24 * time.Hour

// removingTries is how often a directory is removed into which somebody uploads meanwhile.
const removingTries = 100

// directory is a store in a directory that hosts share.
type directory struct {
	dir  string
	mode fs.FileMode // of directories; files have the same without the right to execute
}

// open tells that the directory is there, and removes what processes that were killed have left of objects.
func (d directory) open() (bucket, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // a directory
	left, err := fs.ReadDir(root.FS(), uploading)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range left {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandonedAge {
			_ = root.Remove(path.Join(uploading, entry.Name())) // the next process tries again
		}
	}
	return d, nil
}

// root opens the directory for each call: it may be mounted and unmounted, and is never made.
func (d directory) root() (*os.Root, error) {
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	return root, nil
}

func (d directory) put(_ context.Context, name string, content io.Reader) error {
	root, err := d.root()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a directory
	if err := root.MkdirAll(uploading, d.mode); err != nil {
		return err
	}
	temporary := path.Join(uploading, rand.Text())
	err = d.write(root, temporary, content)
	if err == nil {
		err = d.place(root, temporary, name)
	}
	if err != nil {
		err = errors.Join(err, root.Remove(temporary))
	}
	return err
}

func (d directory) write(root *os.Root, name string, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, d.mode&^0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Sync(), file.Close()) // or a power cut might leave an empty one
}

// place gives an object its name. Its directory may be removed at any moment by who removes the last object from it.
func (d directory) place(root *os.Root, temporary, name string) (err error) {
	dir := path.Dir(name)
	for range 3 {
		if err = root.MkdirAll(dir, d.mode); err == nil {
			err = root.Rename(temporary, name)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	holder, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(holder.Sync(), holder.Close())
}

func (d directory) get(_ context.Context, name string, offset int64) (*Object, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // a directory
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Object{file, info.Size()}, nil
}

func (d directory) remove(_ context.Context, name string) error {
	return d.removing(name, (*os.Root).Remove)
}

func (d directory) removeBelow(_ context.Context, name string) error {
	return d.removing(name, (*os.Root).RemoveAll)
}

// removing removes something, and the directories that it was in as long as nothing else is in them.
func (d directory) removing(name string, remove func(*os.Root, string) error) error {
	root, err := d.root()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a directory
	for range removingTries {
		if err = remove(root, name); !errors.Is(err, syscall.ENOTEMPTY) {
			break
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil {
			break
		}
	}
	return nil
}

func (d directory) close() {}
