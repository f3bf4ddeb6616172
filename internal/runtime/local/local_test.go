package local_test

import (
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/runtime/runtimetest"
)

func TestLocalPicksByMetadataThenByEnding(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	const inPython, inShell = "print('python')", "echo shell"
	for _, test := range []struct{ name, file, program, want string }{
		{"python", "action", inPython, "python\n"},
		{"python", "action.sh", inPython, "python\n"},
		{"shell", "action.py", inShell, "shell\n"},
		{"", "action.py", inPython, "python\n"},
		{"local", "action.py", inPython, "python\n"},
		{"local", "action.sh", inShell, "shell\n"},
		{"", "action.bash", inShell, "shell\n"},
	} {
		a := runtimetest.NewAction(t, test.name, test.file, test.program, nil)
		result := execute(t, l, a)
		if a.Stdout.String() != test.want || !l.CanExecute(a.Task.Action) {
			t.Errorf("%+v: %q, %+v, stderr %s", test, a.Stdout, result, a.Stderr)
		}
	}
	for _, test := range []struct{ name, file string }{
		{"node", "action.js"}, {"", "action"}, {"local", "action.rb"}, {"Python", "action.py"},
	} {
		a := runtimetest.NewAction(t, test.name, test.file, "", nil)
		result := execute(t, l, a)
		if l.CanExecute(a.Task.Action) || result.Failure == nil || result.Failure.Kind != attune.FailureSetup {
			t.Errorf("%+v: %+v", test, result)
		}
		if err := l.Validate(t.Context(), a.Task); err == nil {
			t.Errorf("%+v is valid", test)
		}
	}
}

func TestLocalOffersOnlyTheRuntimeAskedFor(t *testing.T) {
	t.Parallel()
	l := newLocal(t, func(cfg *local.Config) { cfg.Only = attune.RuntimeShell })
	if got := l.Capabilities(); len(got) != 1 || got[0].Name != attune.RuntimeShell || got[0].Version == "" {
		t.Errorf("%+v", got)
	}
	if err := l.CleanUp(t.Context()); err != nil {
		t.Error(err)
	}
}
