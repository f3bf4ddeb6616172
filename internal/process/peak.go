package process

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// peak follows a leader's peak memory while it runs. What wait4(2) tells is at least the peak of the process that
// started it, because Linux carries the peak of the memory that exec replaces into the new program's account
// (exec_mmap in fs/exec.c): a worker of 30 MB would report 30 MB for every action below that.
type peak struct {
	pid   int
	seen  int64
	looks int
}

// Between looks at the leader: often at first, because most actions are short and grow quickly, then seldom.
const (
	firstLook  = 500 * time.Microsecond
	firstLooks = 8 // that are so close together; then each waits twice as long as the one before
	lastLook   = time.Second
)

// look reads the leader's peak so far; what has ended tells nothing any more.
func (p *peak) look() {
	p.seen = max(p.seen, highWater(strconv.Itoa(p.pid)))
	p.looks++
}

// tell returns the peak in bytes: that of the largest process waited for, if it exceeds our own, else the leader's as
// last seen. One that was over before it could be looked at twice has at least the pages that it touched, each of which
// was a fault; later that says nothing, because pages come and go.
func (p *peak) tell(usage *syscall.Rusage) int64 {
	waited := usage.Maxrss << 10 // getrusage(2): kilobytes on Linux
	switch {
	case waited > highWater("self"):
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
