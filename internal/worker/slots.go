package worker

import (
	"context"
	"sync"

	"github.com/attune-automation/attune"
)

// slots are the places for executions, and the memory of what is in them: the first line against messages that come
// twice. A fence stays from before its claim until after its finish is certain, or is in the spool.
type slots struct {
	mu    sync.Mutex
	size  int
	taken map[attune.Fence]*slot
	freed chan struct{} // gets a value when one was given back
}

// slot is one place that is taken.
type slot struct {
	cancel  context.CancelCauseFunc
	hurry   func() // ends the grace of what is being ended
	running bool   // the claim is certain
	again   bool   // its policy gives it to another worker if this one is lost
}

// reservation is the answer to a reserve.
type reservation int

const (
	reserved reservation = iota
	known                // it is in a slot already
	full
)

func newSlots(size int) *slots {
	return &slots{size: size, taken: map[attune.Fence]*slot{}, freed: make(chan struct{}, 1)}
}

// reserve takes a slot for an attempt; cancel is what ends it, and hurry ends the grace that it has then.
func (s *slots) reserve(f attune.Fence, cancel context.CancelCauseFunc, hurry func()) reservation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.taken[f]; ok {
		return known
	}
	if len(s.taken) >= s.size {
		return full
	}
	s.taken[f] = &slot{cancel: cancel, hurry: hurry}
	return reserved
}

// claimed notes that an attempt is this worker's to run; again tells whether another one gets it if this one is lost.
func (s *slots) claimed(f attune.Fence, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[f].running, s.taken[f].again = true, again
}

// free gives a slot back.
func (s *slots) free(f attune.Fence) {
	s.mu.Lock()
	delete(s.taken, f)
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default: // somebody looks already
	}
}

// end tells an attempt to end, and returns whether it is here.
func (s *slots) end(f attune.Fence, why error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken, ok := s.taken[f]
	if ok {
		taken.cancel(why)
	}
	return ok
}

// endWhere tells all attempts that are so to end, and returns them.
func (s *slots) endWhere(is func(attune.Fence, slot) bool, why error) []attune.Fence {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []attune.Fence
	for f, taken := range s.taken {
		if is(f, *taken) {
			taken.cancel(why)
			ended = append(ended, f)
		}
	}
	return ended
}

// hurryWhere ends the grace of all attempts that are so: what is left of them gets SIGKILL.
func (s *slots) hurryWhere(is func(attune.Fence, slot) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f, taken := range s.taken {
		if is(f, *taken) {
			taken.hurry()
		}
	}
}

// running returns the attempts whose claims are certain.
func (s *slots) running() map[attune.Fence]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fences := map[attune.Fence]bool{}
	for f, taken := range s.taken {
		if taken.running {
			fences[f] = true
		}
	}
	return fences
}

// holds tells whether an attempt is in a slot.
func (s *slots) holds(f attune.Fence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.taken[f]
	return ok
}

// has tells whether an attempt of an execution is in a slot, whatever the incarnation that it was placed on.
func (s *slots) has(executionID int64, attempt int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.taken {
		if f.ExecutionID == executionID && f.Attempt == attempt {
			return true
		}
	}
	return false
}

// used returns how many slots are taken.
func (s *slots) used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}
