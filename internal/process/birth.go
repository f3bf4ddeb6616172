package process

import (
	"os"
	"syscall"
)

// begin starts a command; if it can't be started, nothing of it is left.
func (s *Supervisor) begin(c Command, b *berth) (*os.Process, *pipes, error) {
	if err := s.bound(c, b); err != nil {
		return nil, nil, err
	}
	pipes, err := newPipes(c)
	if err != nil {
		return nil, nil, err
	}
	leader, err := s.start(c, b, pipes)
	pipes.closeChildEnds()
	if err != nil {
		pipes.closeOwnEnds()
		return nil, nil, err
	}
	return leader, pipes, nil
}

// bound puts the command's limits in force, in place of those of an earlier one.
func (s *Supervisor) bound(c Command, b *berth) error {
	g := s.governs.Load()
	if g == nil { // nobody has had limits
		return nil
	}
	before := len(b.bounds.apart)
	b.bounds.plan(g, b.name, c.Limits)
	if len(b.bounds.apart) > before {
		if err := b.record.write(c.ID, b.identity()); err != nil {
			return err
		}
	}
	return b.bounds.set(g, b.family.identity().Path, c.Limits)
}

// start starts the leader: in a session of its own, without a terminal, with nothing open but 0, 1 and 2.
func (s *Supervisor) start(c Command, b *berth, pipes *pipes) (leader *os.Process, err error) {
	path, args, err := c.enclosed()
	if err != nil {
		return nil, &StartError{Path: c.Path, Err: err}
	}
	waits := c.Limits.single()
	if waits && c.User != nil {
		path, args, waits = c.Limits.chained(path, args)
	}
	attributes := &os.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: pipes.child(),
		Sys: &syscall.SysProcAttr{
			Setsid: true, Credential: c.User.credential(),
			Ptrace: waits, // for its limits
		},
	}
	if c.Env == nil {
		attributes.Env = []string{} // nil would be a copy of ours
	}
	exec := func() (pid int, err error) {
		leader, err = s.children.bear(func() (*os.Process, error) {
			return os.StartProcess(path, append([]string{path}, args...), attributes)
		})
		if err != nil {
			return 0, &StartError{Path: path, Err: err}
		}
		if !waits {
			return leader.Pid, nil
		}
		if err = c.Limits.bind(leader.Pid); err != nil {
			_ = leader.Kill() // it has not begun
			_, _ = leader.Wait()
			s.children.waited(leader)
		}
		return leader.Pid, err
	}
	err = s.cradles.use(func(on *cradle) error {
		return b.bounds.inside(on, func() error { return b.family.birth(on, attributes.Sys, exec) })
	})
	return leader, err
}
