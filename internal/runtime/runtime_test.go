package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

// newTask returns a task that has its directories but that nobody runs.
func newTask(t *testing.T, parameters string) *runtime.Task {
	t.Helper()
	return &runtime.Task{
		ID:             "42-1",
		Action:         &attune.Action{Ref: "test.action"},
		Parameters:     json.RawMessage(parameters),
		Dirs:           runtime.Dirs{Pack: "/pack", Private: t.TempDir(), Work: "/work", Home: "/home", Tmp: "/tmp"},
		MaxResultBytes: 1000,
	}
}

// named is a runtime that does nothing but say what it can.
type named struct {
	runtime.Runtime
	name    string
	can     []attune.Runtime
	failing error
}

func (n named) Name() string                   { return n.name }
func (n named) Capabilities() []attune.Runtime { return n.can }
func (n named) SetUp(context.Context) error    { return n.failing }
func (n named) CanExecute(a *attune.Action) bool {
	return slices.ContainsFunc(n.can, func(r attune.Runtime) bool { return r.Name == a.Runtime })
}

func TestRegistryPicksTheFirstThatCan(t *testing.T) {
	t.Parallel()
	broken := errors.New("no socket")
	registry := runtime.NewRegistry(
		named{name: "a", failing: broken},
		named{name: "b", can: []attune.Runtime{{Name: "python", Version: "3.11"}}},
		named{name: "c", can: []attune.Runtime{{Name: "python", Version: "3.8"}, {Name: "shell", Version: "5.2"}}},
	)
	for action, want := range map[string]string{"python": "b", "shell": "c"} {
		got, err := registry.For(&attune.Action{Runtime: action})
		if err != nil || got.Name() != want {
			t.Errorf("For(%s) = %v, %v", action, got, err)
		}
	}
	var setup *runtime.SetupError
	if _, err := registry.For(&attune.Action{Runtime: "node"}); !errors.As(err, &setup) {
		t.Errorf("For(node) = %v", err)
	}
	if err := registry.SetUp(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "runtime a") {
		t.Errorf("SetUp = %v", err)
	}
	want := []attune.Runtime{{Name: "python", Version: "3.11"}, {Name: "shell", Version: "5.2"}}
	if got := registry.Capabilities(); !slices.Equal(got, want) {
		t.Errorf("Capabilities = %v", got)
	}
}

func TestSetupFailureTellsOurErrorsFromTheActions(t *testing.T) {
	t.Parallel()
	result, err := runtime.SetupFailure(runtime.Setupf("%s is missing", "greet.py"))
	if err != nil || result.Failure == nil || result.Failure.Kind != attune.FailureSetup || result.Completed() {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err := runtime.SetupFailure(os.ErrClosed); !errors.Is(err, os.ErrClosed) {
		t.Errorf("err = %v", err)
	}
}
