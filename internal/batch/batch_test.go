package batch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune/internal/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// doubler doubles numbers, one turn at a time, each when it is told to.
type doubler struct {
	*batch.Batch[int, int]
	turns chan int      // gets the size of each turn
	next  chan struct{} // lets a turn be made
}

func newDoubler() *doubler {
	d := &doubler{turns: make(chan int), next: make(chan struct{})}
	d.Batch = batch.New(func(_ context.Context, calls []*batch.Call[int, int]) {
		d.turns <- len(calls)
		<-d.next
		for _, c := range calls {
			var err error
			if c.In < 0 {
				err = errors.New("negative")
			}
			c.Answer(2*c.In, err)
		}
	})
	return d
}

// crowd has n calls wait while the first one is made, and returns when all of them wait.
func (d *doubler) crowd(t *testing.T, n int, check func(i, out int, err error)) (all *sync.WaitGroup) {
	t.Helper()
	all = new(sync.WaitGroup)
	for i := range n + 1 {
		all.Go(func() {
			out, err := d.Do(context.Background(), i)
			check(i, out, err)
		})
		if i == 0 {
			if size := <-d.turns; size != 1 {
				t.Fatalf("the first turn has %d calls", size)
			}
		}
	}
	late := time.After(20 * time.Second)
	for look := time.NewTicker(time.Millisecond); d.Waiting() < n; {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%d of %d wait", d.Waiting(), n)
		}
	}
	return all
}

func TestWhatComesTogetherIsMadeTogether(t *testing.T) {
	t.Parallel()
	d := newDoubler()
	n := 2*batch.Size + 3
	all := d.crowd(t, n, func(i, out int, err error) {
		if err != nil || out != 2*i {
			t.Errorf("%d became %d: %v", i, out, err)
		}
	})
	d.next <- struct{}{}
	for _, want := range []int{batch.Size, batch.Size, 3} {
		if size := <-d.turns; size != want {
			t.Errorf("a turn of %d, want %d", size, want)
		}
		d.next <- struct{}{}
	}
	all.Wait()
}

func TestErrorsAreTheCallsOwn(t *testing.T) {
	t.Parallel()
	b := batch.New(func(_ context.Context, calls []*batch.Call[int, string]) {
		for _, c := range calls {
			c.Answer("", fmt.Errorf("no %d", c.In))
		}
	})
	for i := range 3 {
		if _, err := b.Do(context.Background(), i); err == nil || err.Error() != fmt.Sprintf("no %d", i) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Who gives up leaves at once; what was asked for is made all the same, and so is what comes after it.
func TestWhoGivesUpHoldsNobody(t *testing.T) {
	t.Parallel()
	d := newDoubler()
	ctx, cancel := context.WithCancelCause(context.Background())
	gone := errors.New("gone")
	said := make(chan error, 1)
	go func() {
		_, err := d.Do(ctx, 1)
		said <- err
	}()
	<-d.turns
	cancel(gone)
	if err := <-said; !errors.Is(err, gone) {
		t.Errorf("it said %v", err)
	}
	if _, err := d.Do(ctx, 2); !errors.Is(err, gone) {
		t.Errorf("a call that is over before it begins said %v", err)
	}
	d.next <- struct{}{}
	go func() { <-d.turns; d.next <- struct{}{} }()
	if out, err := d.Do(context.Background(), 3); out != 6 || err != nil {
		t.Errorf("the next one became %d: %v", out, err)
	}
}

// What takes long goes on beside what has come meanwhile.
func TestSlowCallsHoldNobodyForLong(t *testing.T) {
	t.Parallel()
	d := newDoubler()
	var slow sync.WaitGroup
	slow.Go(func() { _, _ = d.Do(context.Background(), 1) })
	<-d.turns
	answer := make(chan int)
	go func() {
		out, _ := d.Do(context.Background(), 2)
		answer <- out
	}()
	<-d.turns // though the first one is still being made
	d.next <- struct{}{}
	d.next <- struct{}{}
	if out := <-answer; out != 4 {
		t.Errorf("2 became %d", out)
	}
	slow.Wait()
}
