package process

import (
	"context"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// children are the processes that a supervisor starts itself. os.Process waits for them, and nobody else may: who takes
// a wait status away leaves a command without its end.
type children struct {
	mu     sync.Mutex
	births map[uint64]struct{} // that have begun and not ended, by number
	next   uint64              // the number of the next birth
	living map[int]struct{}    // by pid, until they were waited for
}

func newChildren() *children {
	return &children{births: map[uint64]struct{}{}, living: map[int]struct{}{}}
}

// bear starts a process. From the fork on it is ours, before anybody knows its pid.
func (c *children) bear(start func() (*os.Process, error)) (*os.Process, error) {
	c.mu.Lock()
	number := c.next
	c.next++
	c.births[number] = struct{}{}
	c.mu.Unlock()
	born, err := start()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.births, number)
	if err == nil {
		c.living[born.Pid] = struct{}{}
	}
	return born, err
}

// waited tells that a child has been waited for.
func (c *children) waited(child *os.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.living, child.Pid)
}

// count returns how many births there have been.
func (c *children) count() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// ours tells whether a process that was there when count was births may be a child that we started.
func (c *children) ours(pid int, births uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := range c.births {
		if number < births {
			return true
		}
	}
	_, ok := c.living[pid]
	return ok
}

// reapAge is for how long a process is seen dead before it is reaped. Whoever started it without our knowledge, such as
// a library, has waited for it by then.
const reapAge = time.Second

// sighting is when a dead process was first seen, and how many births there had been by then.
type sighting struct {
	at     time.Time
	births uint64
}

// Reap waits for the dead that nobody else waits for, until ctx ends. The kernel makes them children of this process
// when it is the first of its container, or a subreaper; of others there are none. It waits by pid alone, and never for
// what this supervisor has started.
func (s *Supervisor) Reap(ctx context.Context) error {
	seen := map[member]sighting{}
	ticker := time.NewTicker(reapAge)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if os.Getpid() == 1 || s.adopts.Load() {
			seen = s.reapOrphans(seen)
		}
	}
}

// reapOrphans reaps those that were seen before and are old enough, and returns what it has seen.
func (s *Supervisor) reapOrphans(before map[member]sighting) map[member]sighting {
	seen := map[member]sighting{}
	var info unix.Siginfo
	// Asking changes nothing (WNOWAIT), and saves going through all processes while no child is dead.
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil || info.Signo == 0 {
		return seen
	}
	self, all, now := os.Getpid(), allProcesses(), time.Now()
	births := s.children.count() // after looking: of whoever is there, the birth has begun
	for _, p := range all {
		if p.parent != self || !p.zombie() {
			continue
		}
		first, again := before[p.member()]
		switch {
		case !again:
			seen[p.member()] = sighting{now, births}
		case now.Sub(first.at) >= reapAge && !s.children.ours(p.pid, first.births):
			reap(p.member())
		default:
			seen[p.member()] = first
		}
	}
	return seen
}
