package artifact_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
)

// written is an order of writes: to stdout, and to stderr if negative.
func written(writes ...int64) *artifact.Order {
	order := &artifact.Order{}
	at := map[attune.Stream]int64{}
	for _, n := range writes {
		stream := attune.Stdout
		if n < 0 {
			stream, n = attune.Stderr, -n
		}
		at[stream] += n
		order.Reach(stream, at[stream])
	}
	return order
}

func TestOrderIsThatOfTheWrites(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		writes []int64
		want   attune.OutputOrder
	}{
		"nothing":             {},
		"stdout alone":        {writes: []int64{3, 0, 4}},
		"stderr alone":        {writes: []int64{-3, -4}},
		"stdout, then stderr": {writes: []int64{3, -4}, want: attune.OutputOrder{3, 4}},
		"stderr, then stdout": {writes: []int64{-4, 3}, want: attune.OutputOrder{0, 4, 3}},
		"by turns":            {writes: []int64{1, -2, -3, 4, 5, -6}, want: attune.OutputOrder{1, 5, 9, 6}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, written(test.writes...).Turns()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is masked becomes less than had come.
func TestOrderOfALogThatBecomesLess(t *testing.T) {
	t.Parallel()
	order := &artifact.Order{}
	for _, at := range []int64{10, 8, 9, 12} {
		order.Reach(attune.Stdout, at)
		order.Reach(attune.Stderr, at)
	}
	if diff := cmp.Diff(attune.OutputOrder{10, 10, 2, 2}, order.Turns()); diff != "" {
		t.Error(diff)
	}
}

// However many turns there are, the order stays small, is about all of the bytes, and puts none far from its place.
func TestOrderOfManyTurnsIsCoarse(t *testing.T) {
	t.Parallel()
	const most, turns = 16 << 10, 100_001
	writes := make([]int64, turns)
	for i := range writes {
		writes[i] = 1 - 2*int64(i%2)
	}
	order := written(writes...).Turns()
	if len(order) > most || len(order) < most/4 {
		t.Errorf("%d turns", len(order))
	}
	grain := turns/int64(len(order)) + 1
	var sums [2]int64
	for i, n := range order {
		sums[i%2] += n
		if ahead := sums[0] - sums[1]; ahead < -2*grain || ahead > 2*grain {
			t.Fatalf("stdout is %d bytes ahead after turn %d", ahead, i)
		}
	}
	if sums[0]+sums[1] != turns {
		t.Errorf("%d bytes of %d", sums[0]+sums[1], turns)
	}
}
