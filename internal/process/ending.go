package process

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killPatience is how long a family may take to die of SIGKILL. Only a process that is stuck in the kernel takes so
// long, and no signal ends that one.
const killPatience = 10 * time.Second

// hurry ends a grace when one of its channels is closed: that of the command, or that of all the supervisor's.
type hurry [2]<-chan struct{}

// ending watches one command and ends it.
type ending struct {
	family  family
	peak    peak
	check   func() error // nil: none
	wrapper int          // pid of a leader that only waits for another and tells how it ended: SIGTERM is not for it
	grace   time.Duration
	hurry   hurry
	leader  chan struct{} // closed when state and waitErr are set
	state   *os.ProcessState
	waitErr error

	signalled bool // by us
}

// await waits for the leader alone, by its pid.
func (e *ending) await(leader *os.Process) {
	e.state, e.waitErr = leader.Wait()
	close(e.leader)
}

// supervise returns when no process of the family is left.
func (e *ending) supervise(ctx context.Context, timeout time.Duration) Exit {
	var exit Exit
	exit.Stopped, exit.Cause = e.watch(ctx, timeout)
	grace := e.grace
	switch {
	case e.leaderEnded(): // maybe both came at once: it ended by itself
		exit.Stopped, exit.Cause, grace = NotStopped, nil, leftoverGrace
	case exit.Stopped == Exceeded:
		grace = 0
	case exit.Stopped == Cancelled:
		exit.Cause = context.Cause(ctx)
	}
	e.end(grace, &exit)
	if err := e.look(); err != nil && exit.Stopped == NotStopped {
		exit.Stopped, exit.Cause = Exceeded, err
	}
	return exit
}

// look calls the command's check.
func (e *ending) look() error {
	if e.check == nil {
		return nil
	}
	return e.check()
}

// watch returns when the leader has ended or is to be ended, and why.
func (e *ending) watch(ctx context.Context, timeout time.Duration) (Stop, error) {
	var timeUp <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		timeUp = timer.C
	}
	pause, longest := firstLook, lastLook
	if e.check != nil {
		longest = lastCheck
	}
	looks := time.NewTimer(pause)
	defer looks.Stop()
	for {
		select {
		case <-e.leader:
			return NotStopped, nil
		case <-timeUp:
			return TimedOut, nil
		case <-ctx.Done():
			return Cancelled, nil
		case <-looks.C:
			e.peak.look()
			if err := e.look(); err != nil {
				return Exceeded, err
			}
			pause = min(2*pause, longest)
			looks.Reset(pause)
		}
	}
}

func (e *ending) leaderEnded() bool {
	select {
	case <-e.leader:
		return true
	default:
		return false
	}
}

// end signals the family, and kills what is left of it after grace.
func (e *ending) end(grace time.Duration, exit *Exit) {
	if e.gone() {
		return
	}
	e.signalled = true
	exit.Ended = unix.SignalName(unix.SIGTERM)
	e.family.signal(unix.SIGTERM, e.wrapper)
	if e.wait(grace, e.hurry) {
		return
	}
	exit.Ended = unix.SignalName(unix.SIGKILL)
	members := e.family.members()
	exit.Killed = len(members)
	deadline := time.Now().Add(killPatience)
	for time.Now().Before(deadline) {
		e.family.kill()
		if e.wait(100*time.Millisecond, hurry{}) {
			return
		}
	}
	for _, pid := range e.family.members() {
		exit.Survivors = append(exit.Survivors, fmt.Sprintf("%d (%s)", pid, processName(pid)))
	}
}

// gone tells whether the leader was waited for and nobody else is left.
func (e *ending) gone() bool { return e.leaderEnded() && e.family.empty() }

// wait waits for the family to be gone, and returns whether it is. It returns early when cut tells so.
func (e *ending) wait(limit time.Duration, cut hurry) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-e.leader:
	case <-timer.C:
		return e.gone()
	case <-cut[0]:
		return e.gone()
	case <-cut[1]:
		return e.gone()
	}
	pause := time.Millisecond
	for !e.family.empty() {
		again := time.NewTimer(pause)
		select {
		case <-timer.C:
			again.Stop()
			return false
		case <-cut[0]:
			again.Stop()
			return false
		case <-cut[1]:
			again.Stop()
			return false
		case <-again.C:
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
	return true
}

// account fills in what the leader's end and the family's use tell.
func (e *ending) account(exit *Exit) {
	exit.Code = -1
	if e.state == nil {
		return
	}
	exit.Waited = true
	exit.Code = e.state.ExitCode()
	if status, ok := e.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = unix.SignalName(status.Signal())
	}
	exit.CPU = max(e.state.UserTime()+e.state.SystemTime(), e.family.cpu())
	if usage, ok := e.state.SysUsage().(*syscall.Rusage); ok {
		exit.MaxRSS = e.peak.tell(usage)
	}
}
