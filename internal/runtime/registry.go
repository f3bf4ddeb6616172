package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/attune-automation/attune"
)

// Registry is the runtimes of one worker. The first one that can execute an action gets it.
type Registry struct{ runtimes []Runtime }

// NewRegistry returns a registry of these, in order of preference.
func NewRegistry(runtimes ...Runtime) *Registry { return &Registry{runtimes: runtimes} }

// SetUp sets all of them up; an error of one does not keep the others from it.
func (g *Registry) SetUp(ctx context.Context) error {
	return g.each("set up", func(r Runtime) error { return r.SetUp(ctx) })
}

// CleanUp cleans up after all of them.
func (g *Registry) CleanUp(ctx context.Context) error {
	return g.each("clean up", func(r Runtime) error { return r.CleanUp(ctx) })
}

func (g *Registry) each(op string, do func(Runtime) error) error {
	var faults []error
	for _, r := range g.runtimes {
		if err := do(r); err != nil {
			faults = append(faults, fmt.Errorf("%s runtime %s: %w", op, r.Name(), err))
		}
	}
	return errors.Join(faults...)
}

// Capabilities lists what they can run together. Of two that have the same, the first counts.
func (g *Registry) Capabilities() []attune.Runtime {
	all := []attune.Runtime{}
	seen := map[string]bool{}
	for _, r := range g.runtimes {
		for _, c := range r.Capabilities() {
			if !seen[c.Name] {
				all = append(all, c)
			}
			seen[c.Name] = true
		}
	}
	return all
}

// For returns the runtime for an action. The error is a *SetupError: what the scheduler saw here is gone.
func (g *Registry) For(a *attune.Action) (Runtime, error) {
	for _, r := range g.runtimes {
		if r.CanExecute(a) {
			return r, nil
		}
	}
	return nil, Setupf("no runtime of this worker can run %s, which needs %q: install it, or run it elsewhere",
		a.Ref, a.Runtime)
}
