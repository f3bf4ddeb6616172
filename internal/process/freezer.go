package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/host"
)

// freezer makes families in the freezer hierarchy of version 1.
type freezer struct {
	cfg  Config
	base string
}

func openFreezer(cfg Config) (nursery, error) {
	base, err := host.OwnGroup("cgroup", "freezer")
	if err != nil {
		return nil, err
	}
	probe := group{path: filepath.Join(base, groupName(cfg, "probe-"+strconv.Itoa(os.Getpid())))}
	if err := probe.make(); err != nil {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(probe.path, "freezer.state"))
	if removeErr := probe.remove(); err == nil {
		err = removeErr
	}
	return &freezer{cfg, base}, err
}

func (n *freezer) mechanism() Mechanism { return Freezer }

func (n *freezer) family(name string) family {
	return &freezerFamily{group: group{path: filepath.Join(n.base, groupName(n.cfg, name))}, home: n.base}
}

type freezerFamily struct {
	group
	home string // our own group
}

func (f *freezerFamily) open() error { return f.make() }

// birth forks from a thread that is in the group itself.
func (f *freezerFamily) birth(on *cradle, _ *syscall.SysProcAttr, start func() (int, error)) error {
	enter, err := openFile(filepath.Join(f.path, "tasks"), unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("open freezer group: %w", err)
	}
	leave, err := openFile(filepath.Join(f.home, "tasks"), unix.O_WRONLY)
	if err != nil {
		return errors.Join(fmt.Errorf("open our own freezer group: %w", err), enter.Close())
	}
	defer func() { _, _ = enter.Close(), leave.Close() }() // each write was complete when it returned
	return on.visit(enter, leave, func() error {
		_, err := start()
		return err
	})
}

func (f *freezerFamily) identity() identity { return identity{Mechanism: Freezer, Path: f.path} }

func (f *freezerFamily) members() []int {
	var living []int
	for _, pid := range f.group.members() {
		if stat, ok := readStat(pid); ok && !stat.zombie() {
			living = append(living, pid)
		}
	}
	return living
}

func (f *freezerFamily) empty() bool { return len(f.members()) == 0 }

// freezePatience is how long a group may take to freeze; one that forks like mad takes some milliseconds.
const freezePatience = 200 * time.Millisecond

// kill freezes the group, so that nothing in it can fork, and kills what is in it.
func (f *freezerFamily) kill() {
	state := filepath.Join(f.path, "freezer.state")
	// A group that can't be frozen is killed all the same; the caller repeats it until none is left.
	_ = os.WriteFile(state, []byte("FROZEN"), 0)
	for deadline := time.Now().Add(freezePatience); time.Now().Before(deadline); {
		text, err := os.ReadFile(state)
		if err != nil || strings.TrimSpace(string(text)) == "FROZEN" {
			break
		}
		runtime.Gosched()
	}
	f.signal(unix.SIGKILL, nobody)
	_ = os.WriteFile(state, []byte("THAWED"), 0)
}

func (f *freezerFamily) cpu() time.Duration { return 0 }

// renew also looks whether a member that may do so has frozen the group.
func (f *freezerFamily) renew() bool {
	state, err := os.ReadFile(filepath.Join(f.path, "freezer.state"))
	return err == nil && strings.TrimSpace(string(state)) == "THAWED" && f.asMade() && f.empty()
}

func (f *freezerFamily) close() error { return f.remove() }
