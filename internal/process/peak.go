package process

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// peak follows a leader's peak memory while it runs. What wait4(2) tells is at least the peak of the process that
// started it, because Linux carries the peak of the memory that exec replaces into the new program's account
// (exec_mmap in fs/exec.c): a worker of 30 MB would report 30 MB for every action below that.
type peak struct {
	pid   int
	own   *ownPeak
	seen  int64
	looks int
}

// Between looks at the leader: each waits twice as long as the one before, because most actions are short and grow
// quickly.
const (
	firstLook  = time.Millisecond
	firstLooks = 2 // what has had no more was over within some milliseconds
	lastLook   = time.Second
	lastCheck  = 100 * time.Millisecond // if there is a check
)

// ownPeak is our own peak memory as it was last read. It only grows, so that what does not exceed this one does not
// exceed the present one either. The zero value has not been read.
type ownPeak struct{ seen atomic.Int64 }

// uncounted is how far what Linux shows of a process's memory may be behind: it counts pages on each processor and thread,
// and adds them up now and then.
const uncounted = 4 << 20

// below tells whether our own peak is below so many bytes.
func (o *ownPeak) below(bytes int64) bool {
	if bytes <= o.seen.Load() {
		return false
	}
	now := highWater("self") + uncounted
	o.seen.Store(now) // a lower one by somebody who read earlier costs another look
	return bytes > now
}

// look reads the leader's peak so far; what has ended tells nothing any more.
func (p *peak) look() {
	p.seen = max(p.seen, highWater(strconv.Itoa(p.pid)))
	p.looks++
}

// tell returns the peak in bytes: that of the largest process waited for, if it exceeds our own, else the leader's as
// last seen. One that was over within the first looks has at least the pages that it touched, each of which was a
// fault; later that says nothing, because pages come and go.
func (p *peak) tell(usage *syscall.Rusage) int64 {
	waited := usage.Maxrss << 10 // getrusage(2): kilobytes on Linux
	switch {
	case p.own.below(waited):
		return waited
	case p.looks <= firstLooks:
		return max(p.seen, min(waited, usage.Minflt*int64(os.Getpagesize())))
	}
	return p.seen
}

// highWater returns VmHWM of /proc/PID/status (proc(5)) in bytes, 0 if the process has no memory any more.
func highWater(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kilobytes << 10 // 0 if the kernel writes it as we don't know it
		}
	}
	return 0
}
