package process

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
)

// berth is what a command runs in: its record, and its family's place. To make both and remove them takes longer than
// many a command, so a berth that one command leaves as it was made is given to another. There is one command in it at
// a time.
type berth struct {
	name   string
	record *record
	family family
	bounds bounds
	used   bool // by an earlier command

	// killed tells that a family did not end by itself: it was the last one here. Some kernels (6.18 is one) kill
	// whatever is born from outside into a group to which cgroup.kill was ever written, and a member can do that, too.
	killed bool
}

// remove gives back what the berth took. A place that can't be removed keeps its record, so that the next start sees to
// it.
func (b *berth) remove() error {
	if err := errors.Join(b.bounds.close(), b.family.close()); err != nil {
		return errors.Join(err, b.record.close())
	}
	return errors.Join(b.record.close(), b.record.remove())
}

// renew tells whether nothing shows that a command was here, and makes the berth ready for another one.
func (b *berth) renew() bool {
	b.used = true
	return b.record.asMade() && b.family.renew() && b.bounds.renew() && b.record.write("", b.identity()) == nil
}

// identity is what the record has of the berth.
func (b *berth) identity() identity {
	id := b.family.identity()
	id.Limits = b.bounds.paths()
	return id
}

// berths are those of one supervisor: never more than it has had commands at once.
type berths struct {
	cfg    Config
	mu     sync.Mutex
	made   int
	free   []*berth
	closed bool
}

// take returns a berth for the command with this ID, whose record names it from now on.
func (s *berths) take(n nursery, id string) (*berth, error) {
	b := s.spare()
	if b == nil {
		return s.build(n, id)
	}
	if b.record.write(id, b.identity()) == nil {
		return b, nil
	}
	return s.replace(b, n, id)
}

// replace removes a berth that is of no use and makes another one.
func (s *berths) replace(b *berth, n nursery, id string) (*berth, error) {
	if err := b.remove(); err != nil {
		log(s.cfg).Error("what earlier commands ran in is not cleared away, the next start does it", "error", err)
	}
	return s.build(n, id)
}

// build makes a berth. The record comes first: of whatever is made after it, a kill of ours leaves nothing that is not
// named there. Who has a number already, from a life whose end nobody has seen, keeps it.
func (s *berths) build(n nursery, id string) (*berth, error) {
	for {
		name := strconv.Itoa(s.number())
		family := n.family(name)
		record, err := newRecord(s.cfg.RecordsDir, name, id, family.identity())
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("record of command %s: %w", id, err)
		}
		b := &berth{name: name, record: record, family: family}
		if err = family.open(); err == nil {
			return b, nil
		}
		err = errors.Join(fmt.Errorf("prepare for command %s: %w", id, err), record.close(), record.remove())
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// giveBack keeps a berth for the next command if it is as it was made, and removes it if not.
func (s *berths) giveBack(b *berth) error {
	if !b.killed && s.open() && b.renew() && s.keep(b) {
		return nil
	}
	return b.remove()
}

// close removes the berths that nobody uses; the others go when they are given back.
func (s *berths) close() error {
	var faults []error
	for _, b := range s.end() {
		faults = append(faults, b.remove())
	}
	return errors.Join(faults...)
}

func (s *berths) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	return s.made
}

// spare returns the berth that was given back last, nil if there is none.
func (s *berths) spare() *berth {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return nil
	}
	last := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return last
}

func (s *berths) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed
}

func (s *berths) keep(b *berth) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.free = append(s.free, b)
	}
	return !s.closed
}

func (s *berths) end() []*berth {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.free
	s.free, s.closed = nil, true
	return left
}
