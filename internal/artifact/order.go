package artifact

import (
	"sync"

	"github.com/attune-automation/attune"
)

// maxPairs bounds an attempt's attune.OutputOrder, which becomes a part of a row: some 50 KiB of digits.
const maxPairs = 8 << 10

// order records how two logs come after each other, as exactly as the writers of both are. The zero value is that of logs
// that are empty. It is safe for concurrent use.
type order struct {
	mu    sync.Mutex
	pairs [][2]int64 // bytes of stdout, and then of stderr
	grain int        // how many turns of each stream a pair has
	turns int        // those that the last pair has
	last  attune.Stream
	lost  bool
}

// add counts what was written to a log.
func (o *order) add(to attune.Stream, n int64) {
	if n == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == "" || o.last == attune.Stderr && to == attune.Stdout {
		o.begin()
	}
	o.last = to
	side := 0
	if to == attune.Stderr {
		side = 1
	}
	o.pairs[len(o.pairs)-1][side] += n
}

// begin makes room for a further turn of each stream.
func (o *order) begin() {
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
func (o *order) coarsen() {
	for i := 0; i < len(o.pairs); i += 2 {
		o.pairs[i/2] = [2]int64{o.pairs[i][0] + o.pairs[i+1][0], o.pairs[i][1] + o.pairs[i+1][1]}
	}
	o.pairs = o.pairs[:len(o.pairs)/2]
	o.grain *= 2
}

// lose says that not all of it was seen.
func (o *order) lose() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost = true
}

// known returns the order, nil if there is none to tell.
func (o *order) known() attune.OutputOrder {
	o.mu.Lock()
	defer o.mu.Unlock()
	var turns attune.OutputOrder
	var sums [2]int64
	for _, pair := range o.pairs {
		turns = append(turns, pair[:]...)
		sums[0], sums[1] = sums[0]+pair[0], sums[1]+pair[1]
	}
	if o.lost || sums[0] == 0 || sums[1] == 0 {
		return nil
	}
	if last := len(turns) - 1; turns[last] == 0 {
		turns = turns[:last]
	}
	return turns
}
