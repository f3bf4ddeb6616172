package amqp

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestPausesGrowAndOneQueueThatHangsIsLeftAloneForLonger(t *testing.T) {
	t.Parallel()
	hung := fmt.Errorf("%w: %w", errHung, errors.New("closed"))
	const ms, s = time.Millisecond, time.Second
	for name, c := range map[string]struct {
		took time.Duration
		err  error
		want []time.Duration
	}{
		"refused at once":          {ms, errLost, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10 * s, 10 * s}},
		"lost after it has worked": {time.Hour, errLost, []time.Duration{100 * ms, 100 * ms}},
		"it hangs":                 {30 * s, hung, []time.Duration{100 * ms, 30 * s, 60 * s, 120 * s, 240 * s, 300 * s, 300 * s}},
	} {
		var b backoff
		for i, want := range c.want {
			if got := b.next(c.took, c.err); got != want {
				t.Errorf("%s: pause %d is %v, want %v", name, i+1, got, want)
			}
		}
	}
	b := backoff{hung: 5}
	if got := b.next(ms, errLost); got != 100*ms || b.hung != 0 {
		t.Errorf("it answers again: %v", got)
	}
}
