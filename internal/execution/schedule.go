package execution

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
)

// placeBatch bounds how many executions one transaction places, so that other writers get their turn.
const placeBatch = 200

// Reach tells whether the caller's broker reaches a worker; nil reaches all.
type Reach func(store.WorkerRow) bool

// ErrPlacing says that another server is placing just now, and may not see what has come since it began.
var ErrPlacing = errors.New("another server places executions")

// Round is what one call of Schedule has done.
type Round struct {
	Placed  int
	Waiting bool // something waits, due or not, or did before it was placed
}

// More tells whether there may be more to place at once.
func (r Round) More() bool { return r.Placed >= placeBatch }

// Schedule places executions that wait on workers with free slots: of each class that some worker suits the heads,
// oldest first. When nothing waits, it costs one statement.
func (s *Service) Schedule(ctx context.Context, reach Reach) (Round, error) {
	waiting, err := s.store.Read().Lines(ctx)
	if err != nil || len(waiting) == 0 {
		return Round{}, err
	}
	// Most wake-ups find nothing to place: looking first keeps them from taking the writer's lock.
	plan, err := plan(ctx, s.store.Read(), waiting, reach)
	if err != nil || len(plan) == 0 {
		return Round{Waiting: true}, err
	}
	var messages []broker.Message
	err = s.store.Write(ctx, func(q *store.Queries) error {
		messages, err = place(ctx, q, reach)
		return err
	})
	if err != nil {
		return Round{Waiting: true}, err
	}
	s.publish(ctx, messages...)
	return Round{Placed: len(messages), Waiting: true}, nil
}

func place(ctx context.Context, q *store.Queries, reach Reach) ([]broker.Message, error) {
	locked, err := q.LockPlacement(ctx)
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, ErrPlacing
	}
	waiting, err := q.Lines(ctx)
	if err != nil {
		return nil, err
	}
	placements, err := plan(ctx, q, waiting, reach)
	if err != nil {
		return nil, err
	}
	var messages []broker.Message
	for _, p := range placements {
		ok, err := q.MarkScheduled(ctx, p.execution.ID, p.worker.WorkerRow)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		messages = append(messages, scheduled(attune.Fence{
			ExecutionID: p.execution.ID, Attempt: p.execution.Attempt,
			WorkerID: p.worker.ID, Incarnation: p.worker.Incarnation,
		}))
	}
	return messages, nil
}

type placement struct {
	execution store.Waiting
	worker    *candidate
}

// candidate is a worker with the slots that the plan has not given away yet.
type candidate struct {
	store.WorkerRow
	free int
}

// line is one class that waits, with the workers that suit it.
type line struct {
	due     []store.Waiting
	workers []*candidate
}

func plan(ctx context.Context, q *store.Queries, waiting []store.Line, reach Reach) ([]placement, error) {
	candidates, err := candidates(ctx, q, reach)
	if err != nil || len(candidates) == 0 {
		return nil, err
	}
	var lines []*line
	for _, w := range waiting {
		class, err := ParseClass(w.Class)
		if err != nil {
			return nil, err
		}
		l := &line{}
		free := 0
		for _, c := range candidates {
			if class.Suits(c.WorkerRow) {
				l.workers = append(l.workers, c)
				free += c.free
			}
		}
		if free == 0 {
			continue
		}
		if l.due, err = q.Due(ctx, w.Class, min(free, placeBatch)); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return assign(lines), nil
}

// candidates returns the workers that may be given something now.
func candidates(ctx context.Context, q *store.Queries, reach Reach) ([]*candidate, error) {
	workers, err := q.Workers(ctx)
	if err != nil {
		return nil, err
	}
	var able []*candidate
	for _, w := range workers {
		free := w.Slots - w.SlotsUsed
		if w.Status == attune.WorkerActive && !w.PassedOver && free > 0 && (reach == nil || reach(w)) {
			able = append(able, &candidate{w, free})
		}
	}
	return able, nil
}

// assign gives the longest due execution of all lines a slot on the freest worker that suits it, again and again.
func assign(lines []*line) []placement {
	type waiting struct {
		store.Waiting
		line *line
	}
	var all []waiting
	for _, l := range lines {
		for _, w := range l.due {
			all = append(all, waiting{w, l})
		}
	}
	slices.SortFunc(all, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.NotBefore, b.NotBefore), cmp.Compare(a.ID, b.ID))
	})
	var placements []placement
	for _, w := range all {
		if len(placements) == placeBatch {
			break
		}
		freest := slices.MaxFunc(w.line.workers, func(a, b *candidate) int { return cmp.Compare(a.free, b.free) })
		if freest.free == 0 {
			continue
		}
		freest.free--
		placements = append(placements, placement{w.Waiting, freest})
	}
	return placements
}
