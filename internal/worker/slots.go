package worker

import (
	"context"
	"sync"

	"github.com/attune-automation/attune"
)

// slots are the places for executions, and the memory of what is in them: the first line against messages that come
// twice. A fence stays from before its claim until after its finish is certain.
type slots struct {
	mu    sync.Mutex
	size  int
	taken map[attune.Fence]context.CancelCauseFunc
}

// reservation is the answer to a reserve.
type reservation int

const (
	reserved reservation = iota
	known                // it is in a slot already
	full
)

func newSlots(size int) *slots {
	return &slots{size: size, taken: map[attune.Fence]context.CancelCauseFunc{}}
}

// reserve takes a slot for an attempt; cancel is what ends it.
func (s *slots) reserve(f attune.Fence, cancel context.CancelCauseFunc) reservation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.taken[f]; ok {
		return known
	}
	if len(s.taken) >= s.size {
		return full
	}
	s.taken[f] = cancel
	return reserved
}

// free gives a slot back.
func (s *slots) free(f attune.Fence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, f)
}

// end tells an attempt to end, and returns whether it is here.
func (s *slots) end(f attune.Fence, why error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel, ok := s.taken[f]
	if ok {
		cancel(why)
	}
	return ok
}

// holds tells whether an attempt is in a slot.
func (s *slots) holds(f attune.Fence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.taken[f]
	return ok
}

// used returns how many slots are taken.
func (s *slots) used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}
