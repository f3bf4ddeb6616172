package process

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"
)

// nursery is where families begin: one for each mechanism.
type nursery interface {
	mechanism() Mechanism
	// family names a place for commands that are to be born; it makes nothing.
	family(name string) family
}

// family is all processes of one command. Its methods may be called by one goroutine at a time.
type family interface {
	// open makes the family's place. One that is somebody else's is fs.ErrExist.
	open() error
	// birth calls start, on the thread of the cradle, so that its child is a member from its first instruction on.
	birth(on *cradle, sys *syscall.SysProcAttr, start func() (pid int, err error)) error
	// identity is what finds the family again after we died.
	identity() identity
	// empty tells whether no member lives. Zombies that are ours to reap are reaped.
	empty() bool
	// members returns the pids of living members.
	members() []int
	// signal sends a signal to every member that lives now, but to the one with the pid but.
	signal(sig syscall.Signal, but int)
	// kill sends SIGKILL to all members, in a way that a storm of forks can't outrun where the mechanism has one.
	kill()
	// cpu is the processor time of all members since the place was made or renewed; 0 if the mechanism can't tell.
	cpu() time.Duration
	// renew makes the place ready for another family, and tells whether that one will find it as the first one did. The
	// family is empty.
	renew() bool
	// close gives back what the family's place took. The family is empty.
	close() error
}

// nobody is the pid of no process.
const nobody = 0

// identity is what a record keeps of a family.
type identity struct {
	Mechanism Mechanism `json:"mechanism"`
	Path      string    `json:"path,omitempty"`   // of the control group
	Limits    []string  `json:"limits,omitempty"` // paths of the control groups that keep limits beside it
	PID       int       `json:"pid,omitempty"`    // of the leader, which is its session's id
	Start     uint64    `json:"start,omitempty"`  // of the leader, in clock ticks since boot
}

// findNursery takes the surest mechanism that works here, or the one that was asked for.
func findNursery(cfg Config) (nursery, error) {
	kinds := []struct {
		name Mechanism
		open func(Config) (nursery, error)
	}{{Cgroup2, openCgroup2}, {Freezer, openFreezer}, {Subreaper, openSubreaper}}
	var faults []error
	for _, kind := range kinds {
		if cfg.Mechanism != Auto && cfg.Mechanism != kind.name {
			continue
		}
		n, err := kind.open(cfg)
		if err == nil {
			log(cfg).Debug("processes are told apart", "by", kind.name)
			return n, nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", kind.name, err))
	}
	return nil, fmt.Errorf("no way to tell processes apart: %w", errors.Join(faults...))
}

func log(cfg Config) *slog.Logger {
	if cfg.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return cfg.Logger
}

// adopt returns the family that a record of an earlier supervisor names.
func adopt(id identity) (family, error) {
	switch id.Mechanism {
	case Cgroup2:
		return &cgroup2Family{group: group{path: id.Path}}, nil
	case Freezer:
		return &freezerFamily{group: group{path: id.Path}}, nil
	case Subreaper:
		return &descent{leader: member{id.PID, id.Start}, orphaned: true}, nil
	}
	return nil, fmt.Errorf("unknown mechanism %q", id.Mechanism)
}
