package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// diskUse watches how much an attempt's directories take.
type diskUse struct {
	dirs []string
	most int64
	next time.Time // before it nobody looks again
}

// diskShare is how much longer the time between two looks is than a look itself.
const diskShare = 20

// check returns an error if the directories take more than they may. It is called by one goroutine.
func (d *diskUse) check() error {
	begun := time.Now()
	if begun.Before(d.next) {
		return nil
	}
	seen := map[[2]uint64]bool{}
	var bytes int64
	for _, dir := range d.dirs {
		bytes += taken(dir, seen)
	}
	d.next = begun.Add(diskShare * time.Since(begun))
	if bytes > d.most {
		return fmt.Errorf("its directories take %d bytes, more than the %d of resources.disk", bytes, d.most)
	}
	return nil
}

// taken is what the files below a directory take of the disk, each once however many names it has.
func taken(root string, seen map[[2]uint64]bool) int64 {
	var bytes int64
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o700) == nil { // only a directory that the action has closed
			bytes += taken(path, seen)
		}
		if err != nil {
			return nil //nolint:nilerr // what vanishes meanwhile takes nothing
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && !seen[[2]uint64{stat.Dev, stat.Ino}] {
			seen[[2]uint64{stat.Dev, stat.Ino}] = true
			bytes += stat.Blocks << 9 // stat(2): blocks of 512 bytes
		}
		return nil
	})
	return bytes
}
