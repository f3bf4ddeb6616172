package artifact_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
)

// pair opens both logs of an attempt.
func pair(t *testing.T, attempt *artifact.Attempt) map[attune.Stream]*artifact.Log {
	t.Helper()
	logs := map[attune.Stream]*artifact.Log{}
	for _, stream := range []attune.Stream{attune.Stdout, attune.Stderr} {
		log, err := attempt.OpenLog(stream)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = log.Close() }) // for reading alone
		logs[stream] = log
	}
	return logs
}

// write writes n bytes, which never fails.
func write(log *artifact.Log, n int) { _, _ = log.Write([]byte(strings.Repeat("x", n))) }

func TestOrderIsThatOfTheWrites(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		writes []int // to stdout, and to stderr if negative
		want   attune.OutputOrder
	}{
		"nothing":             {},
		"stdout alone":        {writes: []int{3, 0, 4}},
		"stderr alone":        {writes: []int{-3, -4}},
		"stdout, then stderr": {writes: []int{3, -4}, want: attune.OutputOrder{3, 4}},
		"stderr, then stdout": {writes: []int{-4, 3}, want: attune.OutputOrder{0, 4, 3}},
		"by turns":            {writes: []int{1, -2, -3, 4, 5, -6}, want: attune.OutputOrder{1, 5, 9, 6}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempt := newAttempt(t)
			logs := pair(t, attempt)
			for _, n := range test.writes {
				write(logs[attune.Stdout], max(0, n))
				write(logs[attune.Stderr], max(0, -n))
			}
			if diff := cmp.Diff(test.want, attempt.Order()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An attempt that is taken up again has logs that nobody has seen come.
func TestOrderIsUnknownOfLogsThatWereThere(t *testing.T) {
	t.Parallel()
	attempt := newAttempt(t)
	writeLog(t, attempt, attune.Stderr, "before")
	logs := pair(t, attempt)
	write(logs[attune.Stdout], 1)
	write(logs[attune.Stderr], 1)
	if order := attempt.Order(); order != nil {
		t.Error(order)
	}
}

// However many turns there are, the order stays small, is about all of the bytes, and puts none far from its place.
func TestOrderOfManyTurnsIsCoarse(t *testing.T) {
	t.Parallel()
	const most, turns = 16 << 10, 100_001
	attempt := newAttempt(t)
	logs := pair(t, attempt)
	for i := range turns {
		write(logs[[]attune.Stream{attune.Stdout, attune.Stderr}[i%2]], 1)
	}
	order := attempt.Order()
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
