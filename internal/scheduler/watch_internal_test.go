package scheduler

import (
	"testing"
	"time"
)

func TestWatchBeginsAgainAfterAGap(t *testing.T) {
	t.Parallel()
	const gap = 5 * time.Second
	start := time.Now()
	for name, c := range map[string]struct {
		here, there time.Duration // that passed between the last two looks, by either clock
		again       bool
	}{
		"as usual":                      {2 * time.Second, 2 * time.Second, false},
		"nobody has looked":             {6 * time.Second, 6 * time.Second, true},
		"all hosts were frozen":         {2 * time.Second, time.Hour, true},
		"the database's clock was set":  {2 * time.Second, -time.Hour, true},
		"the clocks differ by a little": {2 * time.Second, 3 * time.Second, false},
	} {
		var w watch
		w.look(start, start.Add(time.Minute), gap)
		if !w.since.Equal(start) {
			t.Errorf("%s: it begins at the first look", name)
		}
		now := start.Add(c.here)
		w.look(now, start.Add(time.Minute+c.there), gap)
		if again := w.since.Equal(now); again != c.again {
			t.Errorf("%s: began again: %t", name, again)
		}
	}
}
