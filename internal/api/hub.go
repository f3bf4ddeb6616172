package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/attune-automation/attune/internal/broker"
)

// eventsKept is how many of the last events are kept for readers that are slow, or come back.
const eventsKept = 8192

// hub is the last events and their readers. Each reader goes through the same events in its own time, so that one costs
// next to nothing. Events are numbered from 1; a reset stands where some may be missing.
type hub struct {
	epoch string // of this hub: numbers of another one mean nothing here

	mu      sync.Mutex
	changed chan struct{} // closed when anything below has
	events  []event       // a ring: number n is at n % eventsKept
	last    int64         // number of the newest, 0: there is none
	first   int64         // of the oldest that is there and has none missing behind it
	taking  bool          // events come in
	readers int
	ended   bool
}

func newHub() *hub {
	return &hub{epoch: uuid.NewString()[:8], changed: make(chan struct{}), events: make([]event, eventsKept), first: 1}
}

// tell wakes all who wait. The caller holds the lock.
func (h *hub) tell() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// add takes an event.
func (h *hub) add(payload broker.Payload) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok, err := newEvent(h.id(h.last+1), payload)
	if ok {
		h.last++
		h.events[h.last%eventsKept] = e
		h.first = max(h.first, h.last-eventsKept+1)
		h.tell()
	}
	return err
}

func (h *hub) id(number int64) string { return fmt.Sprintf("%s-%d", h.epoch, number) }

// resume is called when events come in, at first and after each interruption, in which some were missed.
func (h *hub) resume() {
	h.mu.Lock()
	again := h.taking
	h.taking = true
	h.tell()
	h.mu.Unlock()
	if again {
		_ = h.add(nil) // a reset can be encoded
	}
}

// pause is called when events come in no more. What was kept goes: nobody can tell what follows it.
func (h *hub) pause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taking = false
	clear(h.events)
	h.last++
	h.first = h.last + 1
	h.tell()
}

// end tells the readers that nothing more will come.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.tell()
}

// await returns when something is so, and false if ctx ended before.
func (h *hub) await(ctx context.Context, so func() bool) bool {
	for {
		h.mu.Lock()
		now, changed := so(), h.changed
		h.mu.Unlock()
		if now {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// deserted returns when there were no readers for so long, or ctx ends.
func (h *hub) deserted(ctx context.Context, so time.Duration) {
	timer := time.NewTimer(so)
	defer timer.Stop()
	for {
		h.mu.Lock()
		readers, changed := h.readers, h.changed
		h.mu.Unlock()
		if readers > 0 {
			timer.Reset(so)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if readers == 0 {
				return
			}
		case <-changed:
		}
	}
}

// eventReader goes through the events of a hub. It is for one goroutine.
type eventReader struct {
	hub   *hub
	after string // the last event that it has read before, "" for none
	begun bool
	place int64 // number of the next one
}

// join returns a reader from now on, or from behind an event that was read before.
func (h *hub) join(after string) *eventReader {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers++
	h.tell()
	return &eventReader{hub: h, after: after}
}

func (r *eventReader) leave() {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	r.hub.readers--
}

// next returns the events that there are, a channel that is closed when there may be more, and whether there ever will.
func (r *eventReader) next() (events []event, changed <-chan struct{}, open bool) {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.taking {
		return nil, h.changed, !h.ended
	}
	if !r.begun {
		r.begun = true
		r.place = h.last + 1
		if r.after == "" { // so that it can come back even before there was an event
			return []event{{id: h.id(h.last), text: fmt.Appendf(nil, "id: %s\n\n", h.id(h.last))}}, h.changed, !h.ended
		}
		r.place = h.behind(r.after)
	}
	if r.place < h.first {
		r.place = h.last + 1
		reset, _, err := newEvent(h.id(h.last), nil)
		return []event{reset}, h.changed, err == nil && !h.ended
	}
	for ; r.place <= h.last; r.place++ {
		events = append(events, h.events[r.place%eventsKept])
	}
	return events, h.changed, !h.ended
}

// behind returns the number behind an event's id, 0 if it is none of this hub.
func (h *hub) behind(id string) int64 {
	digits, ok := strings.CutPrefix(id, h.epoch+"-")
	number, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || number < 0 || number > h.last {
		return 0
	}
	return number + 1
}
