package execution

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// Class is what an execution asks of a worker. Executions of equal classes are placed alike, so that the scheduler
// looks at the head of each class only. Its text is canonical and is stored with the execution.
type Class struct {
	Runtime  string            `json:"runtime"`
	Selector map[string]string `json:"selector,omitempty"` // labels that the worker must have
	Pin      int64             `json:"pin,omitempty"`      // the only worker that may take it
}

// String returns the canonical text: JSON, whose object keys encoding/json sorts.
func (c Class) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("a class is always encodable: %v", err)) // strings and numbers only
	}
	return string(text)
}

// ParseClass reads a stored class.
func ParseClass(text string) (Class, error) {
	var c Class
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("read placement class %q: %w", text, err)
	}
	return c, nil
}

// Suits tells whether the worker offers what the class asks for, busy or not.
func (c Class) Suits(w store.WorkerRow) bool {
	if c.Pin != 0 && c.Pin != w.ID || w.Exclusive && c.Pin != w.ID {
		return false
	}
	if !slices.ContainsFunc(w.Runtimes, func(r attune.Runtime) bool { return r.Name == c.Runtime }) {
		return false
	}
	for label, value := range c.Selector {
		if w.Labels[label] != value {
			return false
		}
	}
	return true
}

// describe says in words what the class asks for.
func (c Class) describe() string {
	words := []string{"runtime " + c.Runtime}
	for _, label := range slices.Sorted(maps.Keys(c.Selector)) {
		words = append(words, "label "+label+"="+c.Selector[label])
	}
	return strings.Join(words, ", ")
}
