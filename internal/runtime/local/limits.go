package local

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
)

// noteLacking tells in the task's own log which of its limits this host does not keep.
func (h *host) noteLacking(t *runtime.Task) error {
	lacks, err := h.processes.Lacking(process.Limits(t.Limits))
	if err != nil {
		return err
	}
	for _, limit := range slices.Sorted(maps.Keys(lacks)) {
		fmt.Fprintf(t.Stderr, "attune: resources.%s is not kept on this host: %v\n", limit, lacks[limit])
	}
	return nil
}

// shellSignal is what a shell adds to the signal that ended a command to make it an exit status.
const shellSignal = 128

// exceeded tells which limit an attempt has run into, nil if none. One that did is failed whatever its exit status: not
// all that it started came to its end.
func exceeded(l attune.Limits, exit process.Exit) *attune.Failure {
	fail := func(kind attune.FailureKind, format string, args ...any) *attune.Failure {
		return &attune.Failure{Kind: kind, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case exit.OOMKilled > 0:
		return fail(attune.FailureOOM, "out of memory: its processes had %d bytes at most, of the %d of resources.memory, "+
			"and %d of them were killed for it", exit.PeakMemory, l.Memory, exit.OOMKilled)
	case exit.Stopped == process.Exceeded:
		return fail(attune.FailureLimit, "disk: %v", exit.Cause)
	case exit.Refused > 0:
		return fail(attune.FailureLimit, "pids: it had the %d processes and threads of resources.pids, and could not start more %d times",
			l.PIDs, exit.Refused)
	case l.FileSize == 0 || exit.Signal != "SIGXFSZ" && exit.Code != shellSignal+int(unix.SIGXFSZ):
		return nil
	case l.FileSize == l.Disk:
		return fail(attune.FailureLimit, "disk: a file was to become larger than the %d bytes of resources.disk", l.Disk)
	default:
		return fail(attune.FailureLimit, "file_size: a file was to become larger than the %d bytes of resources.file_size", l.FileSize)
	}
}
