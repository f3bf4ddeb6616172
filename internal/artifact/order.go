package artifact

import (
	"sync"

	"github.com/attune-automation/attune"
)

// maxPairs bounds an attempt's attune.OutputOrder, which becomes a part of a row: some 50 KiB of digits.
const maxPairs = 8 << 10

// Order records how two logs come after each other. The zero value is that of logs that are empty. It is safe for concurrent
// use.
type Order struct {
	mu    sync.Mutex
	pairs [][2]int64 // bytes of stdout, and then of stderr
	grain int        // how many turns of each stream a pair has
	turns int        // those that the last pair has
	sums  [2]int64
	last  int
}

// Reach says that a log now goes on from there, or will when all is written that has come. A log that has been further stays
// there: what was to come has become less.
func (o *Order) Reach(stream attune.Stream, position int64) {
	side := 0
	if stream == attune.Stderr {
		side = 1
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := position - o.sums[side]
	if n <= 0 {
		return
	}
	if len(o.pairs) == 0 || side < o.last {
		o.begin()
	}
	o.last = side
	o.sums[side] += n
	o.pairs[len(o.pairs)-1][side] += n
}

// begin makes room for a further turn of each stream.
func (o *Order) begin() {
	if o.turns < o.grain {
		o.turns++
		return
	}
	if len(o.pairs) == maxPairs {
		o.coarsen()
	}
	o.pairs = append(o.pairs, [2]int64{})
	o.grain, o.turns = max(1, o.grain), 1
}

// coarsen makes one of two pairs, so that there is room for as many turns again.
func (o *Order) coarsen() {
	for i := 0; i < len(o.pairs); i += 2 {
		o.pairs[i/2] = [2]int64{o.pairs[i][0] + o.pairs[i+1][0], o.pairs[i][1] + o.pairs[i+1][1]}
	}
	o.pairs = o.pairs[:len(o.pairs)/2]
	o.grain *= 2
}

// Turns returns the order, nil unless both logs have something.
func (o *Order) Turns() attune.OutputOrder {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sums[0] == 0 || o.sums[1] == 0 {
		return nil
	}
	var turns attune.OutputOrder
	for _, pair := range o.pairs {
		turns = append(turns, pair[:]...)
	}
	if last := len(turns) - 1; turns[last] == 0 {
		turns = turns[:last]
	}
	return turns
}
