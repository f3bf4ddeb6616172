package process

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
)

// Limits bound a command. Disk is not kept here: that is for the command's Check.
type Limits attune.Limits

// Limit is what a limit is called.
type Limit string

// The limits.
const (
	LimitMemory    Limit = "memory"
	LimitCPUs      Limit = "cpus"
	LimitPIDs      Limit = "pids"
	LimitFileSize  Limit = "file_size"
	LimitOpenFiles Limit = "open_files"
)

// controllers are those that keep the limits of all processes together.
var controllers = map[Limit]string{LimitMemory: "memory", LimitCPUs: "cpu", LimitPIDs: "pids"}

// has tells whether a limit is set.
func (l Limits) has(limit Limit) bool {
	switch limit {
	case LimitMemory:
		return l.Memory > 0
	case LimitCPUs:
		return l.CPUs > 0
	case LimitPIDs:
		return l.PIDs > 0
	case LimitFileSize:
		return l.FileSize > 0
	case LimitOpenFiles:
		return l.OpenFiles > 0
	}
	return false
}

// grouped tells whether a control group is needed.
func (l Limits) grouped() bool {
	return l.has(LimitMemory) || l.has(LimitCPUs) || l.has(LimitPIDs)
}

// single tells whether there are limits of each single process.
func (l Limits) single() bool { return l.has(LimitFileSize) || l.has(LimitOpenFiles) }

// cpuPeriod is the time in microseconds over which processor time is meted out: the kernel's own default.
const cpuPeriod = 100_000

// quota is the processor time in each period, at least what the kernel takes.
func (l Limits) quota() string { return strconv.Itoa(max(1000, int(math.Round(l.CPUs*cpuPeriod)))) }

// bytes is the memory in whole pages, as the kernel counts it.
func (l Limits) bytes() string {
	page := int64(os.Getpagesize())
	return strconv.FormatInt(max(page, l.Memory/page*page), 10)
}

// chained is a command that prlimit(1) starts under the limits of each single process: those of another user's process can be
// set by that user alone where root lacks CAP_SYS_RESOURCE, as in many a container. Without the program, it waits for bind.
func (l Limits) chained(path string, args []string) (program string, all []string, waits bool) {
	program, err := exec.LookPath("prlimit")
	if err != nil {
		return path, args, true
	}
	if l.has(LimitFileSize) {
		all = append(all, fmt.Sprintf("--fsize=%d", l.FileSize))
	}
	if l.has(LimitOpenFiles) {
		all = append(all, fmt.Sprintf("--nofile=%d", l.OpenFiles))
	}
	return program, append(append(all, "--", path), args...), false
}

// bind puts the limits of each single process on a child that waits for its tracer, which is the calling thread, before
// its first instruction: whatever it starts inherits them. Then it runs.
func (l Limits) bind(pid int) error {
	// A child that is dead instead stays to be waited for.
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return fmt.Errorf("wait for the new process: %w", err)
	}
	for limit, most := range map[int]uint64{unix.RLIMIT_FSIZE: uint64(l.FileSize), unix.RLIMIT_NOFILE: uint64(l.OpenFiles)} {
		if most == 0 {
			continue
		}
		err := unix.Prlimit(pid, limit, &unix.Rlimit{Cur: most, Max: most}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("limit the new process: %w", err)
		}
	}
	if err := syscall.PtraceDetach(pid); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("let the new process run: %w", err)
	}
	return nil
}
