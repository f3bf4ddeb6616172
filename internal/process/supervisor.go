package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Mechanism is how a family is told from all other processes.
type Mechanism string

// The mechanisms, the surest first.
const (
	Auto      Mechanism = ""
	Cgroup2   Mechanism = "cgroup2"   // born in a control group of version 2, ended by cgroup.kill
	Freezer   Mechanism = "freezer"   // born in a freezer group of version 1, frozen and killed
	Subreaper Mechanism = "subreaper" // session, descent and adoption; finds nothing that hides after we die
)

// Config says where a Supervisor keeps its records.
type Config struct {
	Name       string    // of the worker, for logs
	RecordsDir string    // one small file for each living command, and for what waits for the next one
	Mechanism  Mechanism // Auto takes the surest that works here
	Logger     *slog.Logger
}

// Supervisor runs commands. It is safe for concurrent use.
type Supervisor struct {
	cfg     Config
	nursery func() (nursery, error) // found at first use
	hurry   chan struct{}           // closed when no grace is left
	hurried sync.Once
	berths  berths
	cradles cradles
	own     ownPeak

	governor func() (*governor, error) // found when there first are limits that need one
	governs  atomic.Pointer[governor]  // once found

	children *children
	adopts   atomic.Bool // this process is a subreaper: orphans become its children
}

// New returns a Supervisor. It probes nothing and starts nothing before the first command.
func New(cfg Config) (*Supervisor, error) {
	if cfg.RecordsDir == "" {
		return nil, errors.New("process: no directory for records")
	}
	s := &Supervisor{cfg: cfg, hurry: make(chan struct{}), berths: berths{cfg: cfg}, children: newChildren()}
	s.nursery = sync.OnceValues(func() (nursery, error) {
		if err := keepToOurselves(); err != nil {
			return nil, err
		}
		n, err := findNursery(cfg)
		s.adopts.Store(err == nil && n.mechanism() == Subreaper)
		return n, err
	})
	s.governor = sync.OnceValues(func() (*governor, error) {
		n, err := s.nursery()
		if err != nil {
			return nil, err
		}
		g := findGovernor(cfg, n)
		s.governs.Store(g)
		return g, nil
	})
	return s, nil
}

// Hurry ends all graces, now and from now on: what is being ended gets SIGKILL at once.
func (s *Supervisor) Hurry() { s.hurried.Do(func() { close(s.hurry) }) }

// Close removes what is kept for the next commands. From then on nothing is kept; what runs goes on.
func (s *Supervisor) Close() error {
	s.cradles.close()
	err := s.berths.close()
	if g := s.governs.Load(); g != nil {
		g.close()
	}
	return err
}

// Mechanism tells which mechanism is in use.
func (s *Supervisor) Mechanism() (Mechanism, error) {
	n, err := s.nursery()
	if err != nil {
		return "", err
	}
	return n.mechanism(), nil
}

// Run runs a command to its end: when it returns, no process of it is left. The end of ctx ends it. What the command
// does is in the Exit; the error is a *StartError or one of ours.
func (s *Supervisor) Run(ctx context.Context, c Command) (Exit, error) {
	if ctx.Err() != nil {
		return Exit{}, fmt.Errorf("not started: %w", context.Cause(ctx))
	}
	nursery, err := s.nursery()
	if err != nil {
		return Exit{}, err
	}
	if c.Limits.grouped() {
		if _, err := s.governor(); err != nil {
			return Exit{}, err
		}
	}
	berth, err := s.berths.take(nursery, c.ID)
	if err != nil {
		return Exit{}, err
	}
	leader, pipes, err := s.begin(c, berth)
	if err != nil && berth.used { // its place may have been changed since it was looked at
		if berth, err = s.berths.replace(berth, nursery, c.ID); err != nil {
			return Exit{}, err
		}
		leader, pipes, err = s.begin(c, berth)
	}
	if err != nil {
		return Exit{}, errors.Join(err, s.berths.giveBack(berth))
	}
	exit, err := s.run(ctx, c, berth, leader, pipes)
	if len(exit.Survivors) > 0 {
		return exit, errors.Join(err, berth.record.close()) // it stays, so that the next start tries again
	}
	return exit, errors.Join(err, s.berths.giveBack(berth))
}

// run takes a command that has begun to its end.
func (s *Supervisor) run(ctx context.Context, c Command, b *berth, leader *os.Process, pipes *pipes) (Exit, error) {
	end := &ending{
		family: b.family, peak: peak{pid: leader.Pid, own: &s.own}, check: c.Check, grace: c.Grace,
		hurry: hurry{c.Hurry, s.hurry}, leader: make(chan struct{}),
	}
	if c.Sandbox != nil {
		end.wrapper = leader.Pid
	}
	recordErr := b.record.born(c.ID, b.identity())
	pipes.pump(c)
	go func() {
		end.await(leader)
		s.children.waited(leader)
	}()
	exit := end.supervise(ctx, c.Timeout)
	exit.OutputHeld = pipes.drain()
	end.account(&exit)
	b.bounds.account(&exit)
	b.killed = end.signalled || exit.Signal == "SIGKILL" || exit.OOMKilled > 0
	if end.waitErr != nil {
		return exit, fmt.Errorf("wait for command %s: %w", c.ID, end.waitErr)
	}
	return exit, recordErr
}

// leftoverGrace is what processes get that are left after their leader ended by itself: SIGTERM, then SIGKILL.
const leftoverGrace = time.Second
