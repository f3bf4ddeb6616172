package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// bounds are what keeps the limits of the commands in one berth. They are made when a command first needs them, and stay
// for the next ones.
type bounds struct {
	shared []*limiter // in the family's own group
	apart  []*apart
}

// apart is a group of version 1 that keeps one limit.
type apart struct {
	limiter
	place group
	home  *os.File // the tasks of our own group
	tasks *os.File // nil before it is made
}

// plan names the groups that a command needs and that are still to be made.
func (b *bounds) plan(g *governor, berth string, l Limits) {
	for _, limit := range slices.Sorted(maps.Keys(g.apart)) {
		if !l.has(limit) || slices.ContainsFunc(b.apart, func(a *apart) bool { return a.kind.limit == limit }) {
			continue
		}
		h := g.apart[limit]
		path := filepath.Join(h.base, groupName(g.cfg, berth))
		b.apart = append(b.apart, &apart{limiter: limiter{kind: h.kind, path: path}, place: group{path: path}, home: h.home})
	}
}

// paths are those of the groups apart, for the record.
func (b *bounds) paths() []string {
	var all []string
	for _, a := range b.apart {
		all = append(all, a.path)
	}
	return all
}

// set puts limits in force, in groups that the record names by now.
func (b *bounds) set(g *governor, own string, l Limits) error {
	if len(b.shared) == 0 {
		for _, k := range g.shared {
			one := &limiter{kind: k, path: own}
			if err := one.open(); err != nil {
				return fmt.Errorf("control group of limits: %w", err)
			}
			b.shared = append(b.shared, one)
		}
	}
	for _, a := range b.apart {
		if err := a.make(); err != nil {
			return fmt.Errorf("control group of limits: %w", err)
		}
	}
	for _, one := range b.all() {
		if err := one.limit(l); err != nil {
			return err
		}
	}
	return nil
}

func (b *bounds) all() []*limiter {
	all := slices.Clone(b.shared)
	for _, a := range b.apart {
		if a.tasks != nil {
			all = append(all, &a.limiter)
		}
	}
	return all
}

func (a *apart) make() error {
	if a.tasks != nil {
		return nil
	}
	if err := a.place.make(); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	var err error
	a.tasks, err = openFile(filepath.Join(a.path, "tasks"), unix.O_WRONLY)
	return err
}

// inside calls do while the thread of the cradle is in the groups apart that limit something.
func (b *bounds) inside(c *cradle, do func() error) error {
	for _, a := range b.apart {
		if within := do; a.as.has(a.kind.limit) {
			do = func() error { return c.visit(a.tasks, a.home, within) }
		}
	}
	return do()
}

// account fills in which limits were hit.
func (b *bounds) account(exit *Exit) {
	for _, one := range b.all() {
		n := one.hit()
		if n == 0 {
			continue
		}
		switch one.kind.limit {
		case LimitMemory:
			exit.OOMKilled, exit.PeakMemory = n, one.most()
		case LimitPIDs:
			exit.Refused = n
		}
	}
}

// renew tells whether the next command finds all as it was set, and nobody in there.
func (b *bounds) renew() bool {
	for _, a := range b.apart {
		if a.tasks != nil && (!a.place.asMade() || len(a.place.members()) > 0) {
			return false
		}
	}
	for _, one := range b.all() {
		if !one.renew() {
			return false
		}
	}
	return true
}

// close removes the groups apart.
func (b *bounds) close() error {
	var faults []error
	for _, one := range b.all() {
		one.close()
	}
	for _, a := range b.apart {
		if a.tasks != nil {
			_ = a.tasks.Close() // each write was complete when it returned
		}
		faults = append(faults, vacate(a.place))
	}
	b.shared, b.apart = nil, nil
	return errors.Join(faults...)
}

// vacate removes a group of limits. Who is still in it has left its family's group, which only the user that made both
// can do, and is ended.
func vacate(g group) error {
	for deadline := time.Now().Add(killPatience); len(g.members()) > 0 && time.Now().Before(deadline); {
		g.signal(unix.SIGKILL, nobody)
		pause := time.NewTimer(time.Millisecond)
		<-pause.C
	}
	return g.remove()
}
