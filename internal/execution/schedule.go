package execution

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// placeBatch bounds how many executions one transaction places, so that other writers get their turn.
const placeBatch = 200

// ErrPlacing says that another server is placing just now, and may not see what has come since it began.
var ErrPlacing = errors.New("another server places executions")

// Round is what one call of Schedule has done.
type Round struct {
	Placed  int
	Waiting bool // something waits, due or not, or did before it was placed
	more    bool
}

// More tells whether there may be more to place at once.
func (r Round) More() bool { return r.more }

// Schedule places executions that wait on workers with free slots: of each class that some worker suits the heads,
// oldest first. reach names the workers that the caller's broker reaches; nil is all. When nothing waits, it costs one
// statement; when no worker has a free slot, two.
func (s *Service) Schedule(ctx context.Context, reach []int64) (Round, error) {
	asks, waiting, err := asks(ctx, s.store.Read())
	if err != nil || len(asks) == 0 {
		return Round{Waiting: waiting}, err
	}
	// Most wake-ups find nothing to place: looking first keeps them from taking the writer's lock.
	first, err := look(ctx, s.store.Read(), asks, reach, firstWindow)
	if err != nil || len(first.lines) == 0 {
		return Round{Waiting: true}, err
	}
	var round Round
	var messages []broker.Message
	err = s.store.Write(ctx, func(q *store.Queries) (err error) {
		round, messages, err = place(ctx, q, asks, reach)
		return err
	})
	if err != nil {
		return Round{Waiting: true}, err
	}
	s.publish(ctx, messages...)
	return round, nil
}

// place places what asks say. They were read before the transaction: meanwhile another server may have placed what they
// begin with, which is then seen as it is written, but not the slots that it took, which are read here.
func place(ctx context.Context, q *store.Queries, asks []ask, reach []int64) (Round, []broker.Message, error) {
	locked, err := q.LockPlacement(ctx)
	if err != nil {
		return Round{}, nil, err
	}
	if !locked {
		return Round{}, nil, ErrPlacing
	}
	p, err := newPlan(ctx, q, asks, reach)
	if err != nil {
		return Round{}, nil, err
	}
	messages, err := p.write(ctx, q)
	if err != nil {
		return Round{}, nil, err
	}
	more := p.more || len(messages) < len(p.placements)
	return Round{Placed: len(messages), Waiting: true, more: more}, messages, nil
}

// plan is what one transaction is to place.
type plan struct {
	placements []placement
	more       bool // another plan at once may find more
}

type placement struct {
	execution store.Waiting
	worker    *candidate
}

// write places each that still waits, in one statement for each worker, and returns what announces it: in the order of
// the plan, so that what has waited longest begins first.
func (p plan) write(ctx context.Context, q *store.Queries) (messages []broker.Message, err error) {
	of := map[*candidate][]int64{}
	for _, one := range p.placements {
		of[one.worker] = append(of[one.worker], one.execution.ID)
	}
	attempts := map[int64]int{}
	// Workers' rows are locked in one order, whoever places.
	for _, worker := range slices.SortedFunc(maps.Keys(of), func(a, b *candidate) int { return cmp.Compare(a.ID, b.ID) }) {
		placed, err := q.MarkScheduled(ctx, worker.WorkerRow, of[worker])
		if err != nil {
			return nil, err
		}
		maps.Copy(attempts, placed)
	}
	for _, one := range p.placements {
		attempt, ok := attempts[one.execution.ID]
		if !ok {
			continue
		}
		messages = append(messages, scheduled(attune.Fence{
			ExecutionID: one.execution.ID, Attempt: attempt,
			WorkerID: one.worker.ID, Incarnation: one.worker.Incarnation,
		}))
	}
	return messages, nil
}

// newPlan gives the longest due execution of all lines a slot on the freest worker that suits it, again and again.
func newPlan(ctx context.Context, q *store.Queries, asks []ask, reach []int64) (plan, error) {
	p, cut, err := planWithin(ctx, q, asks, reach, firstWindow)
	if err == nil && cut && len(p.placements) > firstWindow {
		// So many placements may need so many workers, and the freest must be among those that are looked at.
		p, _, err = planWithin(ctx, q, asks, reach, placeBatch)
	}
	return p, err
}

// freer orders workers by their free slots; among equals the older row counts as freer, so that a plan is no accident.
func freer(a, b *candidate) int {
	return cmp.Or(cmp.Compare(a.free, b.free), cmp.Compare(b.ID, a.ID))
}

// planWithin plans with a window of the freest workers, and returns whether there are others.
func planWithin(ctx context.Context, q *store.Queries, asks []ask, reach []int64, window int) (p plan, cut bool, err error) {
	v, err := look(ctx, q, asks, reach, window)
	if err != nil {
		return plan{}, false, err
	}
	starved := v.unsuited
	for lines := v.lines; len(lines) > 0 && len(p.placements) < placeBatch; {
		l := slices.MinFunc(lines, func(a, b *line) int { return a.head.Compare(b.head) })
		freest := slices.MaxFunc(l.workers, freer)
		if freest.free > 0 {
			freest.free--
			p.placements = append(p.placements, placement{l.head, freest})
		}
		left, err := l.advance(ctx, q)
		if err != nil {
			return plan{}, false, err
		}
		if free := l.free(); !left || free == 0 {
			starved = starved || left
			lines = slices.DeleteFunc(lines, func(other *line) bool { return other == l })
		}
	}
	p.more = len(p.placements) == placeBatch || len(p.placements) > 0 && v.cut && starved
	return p, v.cut, nil
}
