package execution

import (
	"cmp"
	"context"
	"slices"

	"github.com/attune-automation/attune/internal/store"
)

// firstWindow is how many of the freest workers are looked at to begin with: enough for what one wake-up brings, few
// enough to cost nothing beside placing it.
const firstWindow = 20

// fewOffers is how many offers a round looks at in detail. If it needs more, another round follows.
const fewOffers = 10

// view is what a round sees: the lines whose head is due and for which a worker has a free slot.
type view struct {
	lines    []*line
	unsuited bool // something is due that no worker in view suits
	cut      bool // more workers have free slots than were looked at
}

// look finds what may be placed now. Its cost is the number of classes, not of executions, and a window of the freest
// workers, not the fleet: workers beyond it are asked for only on behalf of classes that none in it suits, and then by
// what they offer, one for all that offer the same.
func look(ctx context.Context, q *store.Queries, asks []ask, reach []int64, window int) (v view, err error) {
	f := newFleet(q)
	if v.cut, err = f.gather(ctx, asks, reach, window); err != nil {
		return view{}, err
	}
	lines, alone := f.serve(asks)
	if v.cut && slices.ContainsFunc(alone, func(a ask) bool { return a.Pin == 0 }) {
		if err := f.addOffers(ctx, alone, window); err != nil {
			return view{}, err
		}
		var served []*line
		served, alone = f.serve(alone)
		lines = append(lines, served...)
	}
	v.lines, v.unsuited = lines, len(alone) > 0
	return v, nil
}

// line is one class that waits, with the workers that suit it. Of what is behind the head it reads no more than has a
// slot, and nothing until the head has one.
type line struct {
	class   string
	head    store.Waiting
	behind  []store.Waiting
	read    bool
	workers []*candidate
}

// candidate is a worker with the slots that have not been given away yet.
type candidate struct {
	store.WorkerRow
	free int
}

// free is how many slots the line's workers have left.
func (l *line) free() int {
	free := 0
	for _, c := range l.workers {
		free += c.free
	}
	return free
}

// advance goes on to the next in line, if there is one that is due. Without a free slot it does not look.
func (l *line) advance(ctx context.Context, q *store.Queries) (left bool, err error) {
	free := l.free()
	if free == 0 {
		return true, nil
	}
	if !l.read {
		l.read = true
		due, err := q.Due(ctx, l.class, min(free, placeBatch)+1)
		if err != nil {
			return false, err
		}
		l.behind = slices.DeleteFunc(due, func(w store.Waiting) bool { return w.Compare(l.head) <= 0 })
	}
	if len(l.behind) == 0 {
		return false, nil
	}
	l.head, l.behind = l.behind[0], l.behind[1:]
	return true, nil
}

// ask is what a class asks for whose head is due.
type ask struct {
	Class
	text string
	head store.Waiting
}

// asks returns what is due, and whether anything waits.
func asks(ctx context.Context, q *store.Queries) (due []ask, waiting bool, err error) {
	lines, err := q.Lines(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, l := range lines {
		if !l.Due {
			continue
		}
		class, err := ParseClass(l.Class)
		if err != nil {
			return nil, true, err
		}
		due = append(due, ask{class, l.Class, l.Head})
	}
	return due, len(lines) > 0, nil
}

// fleet is what a round has seen of the workers that have free slots, together with those that suit the same.
type fleet struct {
	q      *store.Queries
	known  map[int64]*candidate
	groups map[offer][]*candidate
}

// offer tells what suits a worker, but for what is pinned to it.
type offer struct {
	text      string
	exclusive bool
}

func newFleet(q *store.Queries) *fleet {
	return &fleet{q: q, known: map[int64]*candidate{}, groups: map[offer][]*candidate{}}
}

func (f *fleet) add(workers []store.WorkerRow, err error) error {
	for _, w := range workers {
		if f.known[w.ID] == nil {
			c, o := &candidate{w, w.Slots - w.SlotsUsed}, offer{w.Offer, w.Exclusive}
			f.known[w.ID], f.groups[o] = c, append(f.groups[o], c)
		}
	}
	return err
}

// serve makes lines of the classes that a known worker suits, and returns the others.
func (f *fleet) serve(asks []ask) (lines []*line, alone []ask) {
	for _, a := range asks {
		if workers := f.suited(a.Class); len(workers) > 0 {
			lines = append(lines, &line{class: a.text, head: a.head, workers: workers})
		} else {
			alone = append(alone, a)
		}
	}
	return lines, alone
}

// suited returns the known workers that suit a class.
func (f *fleet) suited(c Class) []*candidate {
	if c.Pin != 0 {
		if w := f.known[c.Pin]; w != nil && c.Suits(w.WorkerRow) {
			return []*candidate{w}
		}
		return nil
	}
	var workers []*candidate
	for _, group := range f.groups {
		if c.Suits(group[0].WorkerRow) {
			workers = append(workers, group...)
		}
	}
	return workers
}

// gather sees to it that of each class's suitable workers the freest are known, and returns whether there may be others.
func (f *fleet) gather(ctx context.Context, asks []ask, reach []int64, window int) (cut bool, err error) {
	if reach != nil {
		return false, f.addEach(ctx, reach)
	}
	freest, err := f.q.Freest(ctx, window)
	if err := f.add(freest, err); err != nil {
		return false, err
	}
	return len(freest) == window, f.addEach(ctx, pins(asks))
}

func (f *fleet) addEach(ctx context.Context, ids []int64) error {
	for _, id := range ids {
		if err := f.add(f.q.Willing(ctx, id)); err != nil {
			return err
		}
	}
	return nil
}

// addOffers looks for workers that suit the classes which none of the freest suits: for each class among the offers
// that suit it and have the freest workers.
func (f *fleet) addOffers(ctx context.Context, asks []ask, window int) error {
	offers, err := f.q.Offers(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(offers, func(a, b store.WorkerRow) int { return cmp.Compare(b.Slots, a.Slots) })
	for _, text := range wanted(asks, offers) {
		if err := f.add(f.q.FreestOf(ctx, text, window)); err != nil {
			return err
		}
	}
	return nil
}

// wanted chooses the first offers that suit each class, in all about as many as a round looks at.
func wanted(asks []ask, offers []store.WorkerRow) (texts []string) {
	each := max(1, fewOffers/len(asks))
	for _, a := range asks {
		suit := 0
		for _, o := range offers {
			if suit == each {
				break
			}
			if !a.Suits(o) {
				continue
			}
			suit++
			if !slices.Contains(texts, o.Offer) {
				texts = append(texts, o.Offer)
			}
		}
	}
	return texts
}

// pins returns the workers that classes are pinned to.
func pins(asks []ask) []int64 {
	var ids []int64
	for _, a := range asks {
		if a.Pin != 0 && !slices.Contains(ids, a.Pin) {
			ids = append(ids, a.Pin)
		}
	}
	return ids
}
