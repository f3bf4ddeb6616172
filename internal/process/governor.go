package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/host"
)

// governor knows how this host keeps the limits that need a control group: in the group that the family has anyway, or
// in groups of version 1 beside it.
type governor struct {
	cfg    Config
	shared map[Limit]kind      // in a family's own group
	apart  map[Limit]hierarchy // in one of its own
	lacks  map[Limit]error     // why not
}

// hierarchy is that of one controller of version 1.
type hierarchy struct {
	kind kind
	base string   // our own group
	home *os.File // its tasks: whoever writes there is back
}

func findGovernor(cfg Config, n nursery) *governor {
	g := &governor{cfg: cfg, shared: map[Limit]kind{}, apart: map[Limit]hierarchy{}, lacks: map[Limit]error{}}
	for i, two := range kinds2 {
		err := errors.New("no family has a group of version 2")
		if families, ok := n.(*cgroup2); ok {
			if err = families.grant(controllers[two.limit]); err == nil {
				g.shared[two.limit] = two
				continue
			}
		}
		one, err1 := findHierarchy(cfg, kinds1[i])
		if err1 != nil {
			g.lacks[two.limit] = fmt.Errorf("version 2: %w; version 1: %w", err, err1)
			continue
		}
		g.apart[two.limit] = one
	}
	return g
}

// findHierarchy finds where groups of version 1 can be made that keep a limit.
func findHierarchy(cfg Config, k kind) (h hierarchy, err error) {
	base, err := host.OwnGroup("cgroup", controllers[k.limit])
	if err != nil {
		return h, err
	}
	probe := group{path: filepath.Join(base, groupName(cfg, "probe-"+strconv.Itoa(os.Getpid())))}
	if err := probe.make(); err != nil {
		return h, err
	}
	looking := &limiter{kind: k, path: probe.path}
	err = looking.open()
	looking.close()
	if err = errors.Join(err, probe.remove()); err != nil {
		return h, err
	}
	home, err := openFile(filepath.Join(base, "tasks"), unix.O_WRONLY)
	return hierarchy{kind: k, base: base, home: home}, err
}

// lacking tells why a limit is not kept here; nil if it is.
func (g *governor) lacking(limit Limit) error { return g.lacks[limit] }

func (g *governor) close() {
	for _, h := range g.apart {
		_ = h.home.Close() // each write was complete when it returned
	}
}

// Lacking tells which of the limits this host does not keep, and why.
func (s *Supervisor) Lacking(l Limits) (map[Limit]error, error) {
	lacks := map[Limit]error{}
	if !l.grouped() {
		return lacks, nil
	}
	g, err := s.governor()
	if err != nil {
		return nil, err
	}
	for limit := range controllers {
		if err := g.lacking(limit); err != nil && l.has(limit) {
			lacks[limit] = err
		}
	}
	return lacks, nil
}

// ownersGroup is where a process moves itself that has to leave its group: one of version 2 that gives controllers to
// groups below has no members itself.
const ownersGroup = groupPrefix + "workers"

// grant gives a controller to the groups of families.
func (n *cgroup2) grant(controller string) error {
	has, err := os.ReadFile(filepath.Join(n.base, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(has)), controller) {
		return fmt.Errorf("our own control group has no controller %s (a systemd service needs Delegate=yes)", controller)
	}
	enable := func() error {
		return os.WriteFile(filepath.Join(n.base, "cgroup.subtree_control"), []byte("+"+controller), 0)
	}
	err = enable()
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := n.stepAside(); err != nil {
		return err
	}
	if err = enable(); errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("other processes are in our own control group %s: start the worker in one of its own, as a systemd service is", n.base)
	}
	return err
}

// stepAside moves this process to a group below its own.
func (n *cgroup2) stepAside() error {
	aside := filepath.Join(n.base, ownersGroup)
	if err := os.Mkdir(aside, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(aside, "cgroup.procs"), []byte("0"), 0)
}
