package process

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// ownGroup finds our own group in the hierarchy that fits: its directory below a mount of type, with the option if one
// is named, at the path that /proc/self/cgroup gives (see cgroups(7)).
func ownGroup(fsType, option string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	mount, root := findMount(mounts, fsType, option)
	if mount == "" {
		return "", errors.New("not mounted")
	}
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(memberships)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !slices.Contains(strings.Split(fields[1], ","), option) {
			continue
		}
		below, err := filepath.Rel(root, fields[2])
		if err != nil || strings.HasPrefix(below, "..") {
			return "", fmt.Errorf("our own group %s is not below the mount's root %s", fields[2], root)
		}
		return filepath.Join(mount, below), nil
	}
	return "", errors.New("we are in no group of it")
}

// findMount reads mountinfo (proc(5)): fields 4 and 5 are root and mount point, type and options follow a lone "-".
func findMount(mountinfo []byte, fsType, option string) (mount, root string) {
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(tail) < 3 || tail[0] != fsType {
			continue
		}
		if option == "" || slices.Contains(strings.Split(tail[2], ","), option) {
			return fields[4], fields[3]
		}
	}
	return "", ""
}
