package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// subreaper tells families apart by session and descent. This process adopts the orphans of its descendants
// (PR_SET_CHILD_SUBREAPER), so that none leaves the tree below it while it lives.
type subreaper struct {
	mu     sync.Mutex
	living map[*descent]struct{}
}

func openSubreaper(Config) (nursery, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	return &subreaper{living: map[*descent]struct{}{}}, nil
}

func (n *subreaper) mechanism() Mechanism { return Subreaper }

func (n *subreaper) family(string) family { return &descent{nursery: n} }

// descent is the family of a leader: its session, its descendants, and the orphans that only it can have left.
type descent struct {
	nursery  *subreaper
	leader   member
	orphaned bool // its supervisor has died: nobody adopts, the session is all there is
}

func (f *descent) open() error { return nil }

// birth keeps other births out, so that every child of ours is known before anybody looks for orphans.
func (f *descent) birth(_ *cradle, _ *syscall.SysProcAttr, start func() (int, error)) error {
	f.nursery.mu.Lock()
	defer f.nursery.mu.Unlock()
	pid, err := start()
	if err != nil {
		return err
	}
	s, ok := readStat(pid)
	if !ok {
		return errors.New("the new process is not in /proc: is it mounted?")
	}
	f.leader = s.member()
	f.nursery.living[f] = struct{}{}
	return nil
}

func (f *descent) identity() identity {
	return identity{Mechanism: Subreaper, PID: f.leader.pid, Start: f.leader.start}
}

func (f *descent) members() []int {
	living, zombies := f.find()
	for _, z := range zombies {
		reap(z)
	}
	pids := make([]int, len(living))
	for i, m := range living {
		pids[i] = m.pid
	}
	return pids
}

// find returns the living members, and the dead ones that are ours to reap.
func (f *descent) find() (living, zombies []member) {
	all := allProcesses()
	in := map[int]bool{}
	for _, s := range all {
		if f.belongs(s) {
			in[s.pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, s := range all {
			if !in[s.pid] && in[s.parent] {
				in[s.pid], grown = true, true
			}
		}
	}
	self := os.Getpid()
	for _, s := range all {
		switch {
		case !in[s.pid]:
		case !s.zombie():
			living = append(living, s.member())
		case s.parent == self && s.pid != f.leader.pid: // the leader is os.Process's to reap
			zombies = append(zombies, s.member())
		}
	}
	return living, zombies
}

// belongs tells whether a process is a member by itself: of the session, or an orphan of nobody else's.
func (f *descent) belongs(s stat) bool {
	if f.leader.pid == 0 {
		return false
	}
	if s.session == f.leader.pid && s.start >= f.leader.start {
		return true
	}
	return !f.orphaned && f.left(s)
}

// left tells whether s is an adopted orphan, outside of all sessions that we know, which no command but this one can
// have left: every other one that runs is younger than the orphan.
func (f *descent) left(s stat) bool {
	self := os.Getpid()
	own, ok := readStat(self)
	if s.parent != self || !ok || s.session == own.session || s.start < f.leader.start {
		return false
	}
	f.nursery.mu.Lock()
	defer f.nursery.mu.Unlock()
	for other := range f.nursery.living {
		if other.leader.pid == s.pid || other.leader.pid == s.session {
			return false
		}
		if other != f && other.leader.start <= s.start {
			return false // it may be the other's; the last of those that it may belong to ends it
		}
	}
	return true
}

// reap waits for this very process, if it is dead: other children are not the caller's to wait for.
func reap(m member) {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		return // somebody has reaped it
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	if s, ok := readStat(m.pid); ok && s.start == m.start && s.zombie() {
		_ = unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil) // it may have been reaped meanwhile
	}
}

func (f *descent) empty() bool { return len(f.members()) == 0 }

func (f *descent) signal(sig syscall.Signal, but int) {
	living, _ := f.find()
	for _, m := range living {
		if m.pid != but {
			m.signal(sig)
		}
	}
}

// signal goes through a pidfd, so that it can't reach another process that has got the pid meanwhile.
func (m member) signal(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		return // it has ended
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	if m.alive() {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // it may have ended meanwhile
	}
}

// kill stops all members first, so that they can't fork while the others are killed.
func (f *descent) kill() {
	f.signal(unix.SIGSTOP, nobody)
	f.signal(unix.SIGKILL, nobody)
}

func (f *descent) cpu() time.Duration { return 0 }

// renew forgets the leader: there is no place that could have been changed.
func (f *descent) renew() bool { return f.close() == nil }

func (f *descent) close() error {
	if f.nursery != nil {
		f.nursery.mu.Lock()
		defer f.nursery.mu.Unlock()
		delete(f.nursery.living, f)
		f.leader = member{}
	}
	return nil
}
