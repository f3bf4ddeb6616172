package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// group is a control group of either version: a directory with cgroup.procs, and maybe groups below it that members
// have made.
type group struct {
	path string
	made unix.Stat_t
}

// groupPrefix begins the names of all groups that are ours.
const groupPrefix = "attune."

// groupName is the directory of a place below our own group. Two workers of one name, on two data directories, are
// told apart by where their records are.
func groupName(cfg Config, name string) string {
	sum := sha256.Sum256([]byte(cfg.RecordsDir))
	return groupPrefix + hex.EncodeToString(sum[:6]) + "." + name
}

// make makes the group. One without a record has been left by nobody who can be asked: it is ours if it is empty.
func (g *group) make() error {
	err := os.Mkdir(g.path, 0o755)
	if errors.Is(err, fs.ErrExist) {
		_ = unix.Rmdir(g.path) // if it can't be removed, it can't be made
		err = os.Mkdir(g.path, 0o755)
	}
	if err != nil {
		return err
	}
	return unix.Stat(g.path, &g.made)
}

// asMade tells whether this very group is there, has its owner and mode, and no group below it: of those, a directory's
// links tell.
func (g *group) asMade() bool {
	var now unix.Stat_t
	err := unix.Stat(g.path, &now)
	return err == nil && now.Dev == g.made.Dev && now.Ino == g.made.Ino && now.Nlink == 2 &&
		now.Mode == g.made.Mode && now.Uid == g.made.Uid && now.Gid == g.made.Gid
}

// each calls do for the group and all groups below it, the deepest first.
func (g *group) each(do func(dir string)) {
	var dirs []string
	var top unix.Stat_t
	if unix.Stat(g.path, &top) == nil && top.Nlink == 2 { // no group below: a walk costs much more
		do(g.path)
		return
	}
	_ = filepath.WalkDir(g.path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // a group that vanishes meanwhile has no members
	})
	slices.Reverse(dirs)
	for _, dir := range dirs {
		do(dir)
	}
}

func (g *group) members() []int {
	var pids []int
	g.each(func(dir string) {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
	})
	return pids
}

func (g *group) signal(sig syscall.Signal, but int) {
	for _, pid := range g.members() {
		if pid != but {
			_ = unix.Kill(pid, sig) // it may have ended meanwhile
		}
	}
}

// remove removes the group and those below it.
func (g *group) remove() error {
	var faults []error
	g.each(func(dir string) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
	})
	return errors.Join(faults...)
}
