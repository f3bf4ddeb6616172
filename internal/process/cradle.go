package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// cradle is a thread that commands are born from, and nothing else runs on: a child inherits from the thread that forks
// what Go can't give it in between. Nothing of it can be taken back.
type cradle struct {
	births chan func()
	lost   bool // it is in a control group that it can't leave
}

// umask keeps what a command makes from everybody else.
const umask = 0o077

func newCradle() (*cradle, error) {
	c := &cradle{births: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := prepareThread()
		ready <- err
		if err != nil {
			return
		}
		for birth := range c.births {
			birth()
		}
	}()
	return c, <-ready
}

// prepareThread gives the calling thread a umask of its own, and takes from whatever it starts the power to gain
// privileges by running a file.
func prepareThread() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("a umask of its own: %w", err)
	}
	unix.Umask(umask)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return nil
}

// do calls a function on the thread.
func (c *cradle) do(birth func() error) error {
	result := make(chan error, 1)
	c.births <- func() { result <- birth() }
	return <-result
}

// cradles are those of one supervisor: never more than it has had births at once.
type cradles struct {
	mu     sync.Mutex
	free   []*cradle
	closed bool
}

// use calls a function on the thread of a cradle.
func (s *cradles) use(birth func(*cradle) error) error {
	c := s.spare()
	if c == nil {
		var err error
		if c, err = newCradle(); err != nil {
			return fmt.Errorf("thread to start commands from: %w", err)
		}
	}
	err := c.do(func() error { return birth(c) })
	if !s.keep(c) {
		close(c.births)
	}
	return err
}

func (s *cradles) spare() *cradle {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return nil
	}
	last := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return last
}

func (s *cradles) keep(c *cradle) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.lost || s.closed {
		return false
	}
	s.free = append(s.free, c)
	return true
}

// close ends the threads that nobody uses; the others end when they are given back.
func (s *cradles) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.free {
		close(c.births)
	}
	s.free, s.closed = nil, true
}

// visit calls a function while the calling thread is in a control group of version 1, where a thread can be moved alone
// and its child is born where it is. enter and leave are the tasks files of the group and of our own.
func (c *cradle) visit(enter, leave *os.File, do func() error) error {
	if _, err := enter.WriteString("0"); err != nil { // 0 is who writes
		return fmt.Errorf("enter control group: %w", err)
	}
	err := do()
	if _, back := leave.WriteString("0"); back != nil {
		c.lost = true // the thread ends: it must run nothing else in there
		if err != nil {
			err = errors.Join(err, fmt.Errorf("leave control group: %w", back))
		}
	}
	return err
}
