package host

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
)

// Headroom is the least that must be free of what executions share with the host and with the worker. What is 0 is not
// looked at.
type Headroom struct {
	Disk      int64 // bytes, on each file system that is written to
	Inodes    int64 // files, on the same
	Memory    int64 // bytes, of the host and of each control group around this process
	OpenFiles int64 // of this process and of the host
}

// slack is by which part more than the least must be free until a shortage is over: one that comes and goes with every
// execution would have the worker do so, too.
const slack = 10

// Shortages returns of what less than h is free, in the directories or anywhere; what was short before is so until there
// is some more than h. What this host does not tell is not short.
func (h Headroom) Shortages(dirs []string, before []attune.Shortage) ([]attune.Shortage, error) {
	found, err := h.look(dirs)
	found = slices.DeleteFunc(found, func(s attune.Shortage) bool {
		least := s.Least
		if slices.ContainsFunc(before, func(b attune.Shortage) bool { return b.Same(s) }) {
			least += least / slack
		}
		return s.Least == 0 || s.Free >= least
	})
	return found, err
}

// look returns what is free of everything.
func (h Headroom) look(dirs []string) (all []attune.Shortage, err error) {
	add := func(resource attune.Resource, where string, free, least int64) {
		all = append(all, attune.Shortage{Resource: resource, Where: where, Free: free, Least: least})
	}
	var faults []error
	seen := map[uint64]bool{}
	if h.Disk == 0 && h.Inodes == 0 {
		dirs = nil
	}
	for _, dir := range dirs {
		var on unix.Stat_t
		var s unix.Statfs_t
		if err := errors.Join(unix.Stat(existing(dir), &on), unix.Statfs(existing(dir), &s)); err != nil {
			faults = append(faults, fmt.Errorf("what is free in %s: %w", dir, err))
			continue
		}
		if seen[on.Dev] {
			continue
		}
		seen[on.Dev] = true
		add(attune.ResourceDisk, dir, int64(min(s.Bavail, 1<<50))*s.Bsize, h.Disk) //nolint:gosec // bounded, so that it has room
		if s.Files > 0 {                                                           // some file systems make inodes as they need them, and have no number to tell
			add(attune.ResourceInodes, dir, int64(min(s.Ffree, 1<<62)), h.Inodes) //nolint:gosec // the same
		}
	}
	for _, of := range []struct {
		resource attune.Resource
		least    int64
		free     func() (int64, string, error)
	}{{attune.ResourceMemory, h.Memory, freeMemory}, {attune.ResourceOpenFiles, h.OpenFiles, freeFiles}} {
		if of.least == 0 {
			continue
		}
		free, where, err := of.free()
		if err != nil {
			faults = append(faults, fmt.Errorf("how much of %s is free: %w", of.resource, err))
			continue
		}
		add(of.resource, where, free, of.least)
	}
	return all, errors.Join(faults...)
}

// existing returns a directory, or the one that it will be made in.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// freeMemory returns what can be used without swapping, and where that is least.
func freeMemory() (bytes int64, where string, err error) {
	bytes, err = field("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return 0, "", err
	}
	bytes, where = bytes<<10, "the host" // proc(5): kibibytes
	for _, account := range memoryAccounts {
		own, err := OwnGroup(account.fsType, account.option)
		if err != nil {
			continue // it is not this one that counts memory here
		}
		for dir := own; ; dir = filepath.Dir(dir) {
			free, limited := account.free(dir)
			if limited && free < bytes {
				bytes, where = free, dir
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "cgroup.procs")); err != nil {
				break // it is the topmost
			}
		}
	}
	return bytes, where, nil
}

// memoryAccount is how a version of control groups tells of memory.
type memoryAccount struct {
	fsType, option         string
	limit, usage, inactive string // files, and the field of memory.stat: what of the usage goes when others need it
}

var memoryAccounts = []memoryAccount{
	{"cgroup2", "", "memory.max", "memory.current", "inactive_file"},
	{"cgroup", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
}

// free returns what a group has left of its limit, if it has one.
func (a memoryAccount) free(dir string) (bytes int64, limited bool) {
	limit, err := number(filepath.Join(dir, a.limit))
	if err != nil {
		return 0, false // there is none, or it says "max"
	}
	used, err := number(filepath.Join(dir, a.usage))
	if err != nil {
		return 0, false
	}
	cached, err := field(filepath.Join(dir, "memory.stat"), a.inactive)
	if err != nil {
		return 0, false
	}
	return max(0, limit-used+cached), true
}

// freeFiles returns how many files may still be opened, and by whom.
func freeFiles() (n int64, where string, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, "", err
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, "", err
	}
	n, where = int64(min(limit.Cur, 1<<62))-int64(len(open)), "the worker's process" //nolint:gosec // bounded, so that it has room
	text, err := os.ReadFile("/proc/sys/fs/file-nr")                                 // proc(5): in use, free, at most
	if err != nil {
		return 0, "", err
	}
	var used, unused, most int64
	if _, err := fmt.Sscan(string(text), &used, &unused, &most); err != nil {
		return 0, "", fmt.Errorf("/proc/sys/fs/file-nr: %w", err)
	}
	if most-used < n {
		n, where = most-used, "the host"
	}
	return n, where, nil
}

func number(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// field returns the number that follows a name at the beginning of a line.
func field(path, name string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // read only
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == name {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s: %w", path, name, fs.ErrNotExist)
}
