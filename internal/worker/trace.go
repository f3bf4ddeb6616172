package worker

import (
	"encoding/json"
	"sync"
	"time"
)

// trace records when the steps of one attempt began, by the monotonic clock. A nil trace records nothing.
type trace struct {
	mu    sync.Mutex
	start time.Time
	steps []step
}

// step is one entry of trace.json. Times are microseconds since the attempt began on the worker.
type step struct {
	Name       string `json:"name"`
	StartUS    int64  `json:"start_us"`
	DurationUS int64  `json:"duration_us"` // until the next step
}

func newTrace(wanted bool) *trace {
	if !wanted {
		return nil
	}
	return &trace{start: time.Now()}
}

// begin ends the step before and begins another.
func (t *trace) begin(name string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	t.steps = append(t.steps, step{Name: name, StartUS: time.Since(t.start).Microseconds()})
}

func (t *trace) end() {
	if n := len(t.steps); n > 0 {
		t.steps[n-1].DurationUS = time.Since(t.start).Microseconds() - t.steps[n-1].StartUS
	}
}

// document is trace.json: {"started_at", "steps": [{"name", "start_us", "duration_us"}]}; nil for a nil trace.
func (t *trace) document() json.RawMessage {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	document, err := json.MarshalIndent(struct {
		StartedAt time.Time `json:"started_at"`
		Steps     []step    `json:"steps"`
	}{t.start.UTC(), t.steps}, "", "  ")
	if err != nil {
		return nil // times, strings and numbers only: it can't be
	}
	return document
}
