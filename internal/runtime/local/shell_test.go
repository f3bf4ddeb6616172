package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/runtime/runtimetest"
)

func newShell(tb testing.TB, program string, parameters map[string]any) *runtimetest.Action {
	tb.Helper()
	return runtimetest.NewAction(tb, attune.RuntimeShell, "action.sh", program, parameters)
}

func TestShellEndsAtTheFirstError(t *testing.T) {
	t.Parallel()
	a := newShell(t, "echo one\nfalse\necho two", nil)
	result := execute(t, newLocal(t), a)
	if result.ExitCode == nil || *result.ExitCode != 1 || a.Stdout.String() != "one\n" {
		t.Errorf("%+v, stdout %q", result, a.Stdout)
	}
}

func TestShellGetsEveryTypeOfParameter(t *testing.T) {
	t.Parallel()
	a := newShell(t, `echo "$PARAM_LIST $PARAM_NAME $PARAM_YES [$PARAM_NONE] ${PARAM_NONE-unset} $0 $PWD"`, nil)
	a.Task.Parameters = []byte(`{"list": [1, {"a": "b"}], "Name": 1.50, "yes": true, "none": null}`)
	execute(t, newLocal(t), a)
	want := `[1,{"a":"b"}] 1.50 true []  ` + filepath.Join(a.Task.Dirs.Pack, "actions/action.sh") + " " + a.Task.Dirs.Work + "\n"
	if a.Stdout.String() != want {
		t.Errorf("%q, want %q", a.Stdout, want)
	}
}

func TestShellGetsLongValuesByDeliveryOnly(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	long := strings.Repeat("x", runtime.MaxEnvValue+1)
	a := newShell(t, `echo "${PARAM_LONG-absent} $PARAM_SHORT"; wc -c`, map[string]any{"long": long, "short": "s"})
	result := execute(t, l, a)
	want := fmt.Sprintf("absent s\n%d\n", len(a.Task.Parameters)+1)
	if out := a.Stdout.String(); out != want || !result.Completed() {
		t.Errorf("%q, %+v", out, result)
	}
	if got := a.Stderr.String(); !strings.Contains(got, "PARAM_LONG is not set") || strings.Count(got, "\n") != 1 {
		t.Errorf("stderr %q", got)
	}
	a = newShell(t, `test ! -v PARAM_NUL; cat "$ATTUNE_PARAMETER_FILE"`, map[string]any{"nul": "a\x00b"})
	a.Task.Action.Delivery = attune.DeliverFile
	result = execute(t, l, a)
	if a.Stdout.String() != `{"nul":"a\u0000b"}`+"\n" || !strings.Contains(a.Stderr.String(), "ATTUNE_PARAMETER_FILE") {
		t.Errorf("%q, stderr %q, %+v", a.Stdout, a.Stderr, result)
	}
}

// Each value fits, but together they are more than the kernel takes (6 MiB at most, less with a small stack).
func TestShellWithTooLargeAnEnvironmentIsASetupFailure(t *testing.T) {
	t.Parallel()
	parameters := map[string]any{}
	for i := range 80 {
		parameters["p"+strings.Repeat("x", i)] = strings.Repeat("y", 90<<10)
	}
	result := execute(t, newLocal(t), newShell(t, "exit 0", parameters))
	if result.Failure == nil || result.Failure.Kind != attune.FailureSetup ||
		!strings.Contains(result.Failure.Message, "parameter_delivery") {
		t.Errorf("%+v", result)
	}
}

func TestShellPutsItsInterpreterFirstOnPath(t *testing.T) {
	t.Parallel()
	a := newShell(t, `echo "$PATH"`, nil)
	l := newLocal(t)
	execute(t, l, a)
	var bash string
	for _, c := range l.Capabilities() {
		if c.Name == attune.RuntimeShell {
			bash = filepath.Dir(c.Path)
		}
	}
	if !strings.HasPrefix(a.Stdout.String(), bash+":") || strings.Contains(a.Stdout.String(), "pyenv") {
		t.Errorf("PATH %q, bash in %s; the worker's is %s", a.Stdout, bash, os.Getenv("PATH"))
	}
}
