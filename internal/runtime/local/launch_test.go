package local_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime/local"
)

// The action puts a file where the supervisor keeps its records, so that clearing up after it fails.
func TestAFaultOfOurOwnDoesNotCostTheOutcome(t *testing.T) {
	t.Parallel()
	records := filepath.Join(t.TempDir(), "records")
	processes, err := process.New(process.Config{RecordsDir: records, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = processes.Close() }() // the action has broken what it would remove
	var log bytes.Buffer
	l := newLocal(t, func(cfg *local.Config) {
		cfg.Processes, cfg.Logger = processes, slog.New(slog.NewTextHandler(&log, nil))
	})
	a := newShell(t, `rm -rf "$PARAM_DIR"; touch "$PARAM_DIR"; echo '{"done": true}'`, map[string]any{"dir": records})
	result := execute(t, l, a)
	if !result.Completed() || string(result.Value) != `{"done":true}` {
		t.Errorf("%+v, stderr %s", result, a.Stderr)
	}
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the fault was not injected, or not logged: %s", log.String())
	}
}

func TestResultOfAFailureIsKeptAndNotMissed(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	for program, want := range map[string]string{
		`echo '{"at": 3}'; exit 4`:                    `{"at":3}`,
		`echo broken > "$ATTUNE_RESULT_FILE"; exit 4`: ``,
	} {
		result := execute(t, l, newShell(t, program, nil))
		if string(result.Value) != want || result.Failure != nil || *result.ExitCode != 4 {
			t.Errorf("%s: %s, %+v", program, result.Value, result)
		}
	}
}

func TestStepsAreTraced(t *testing.T) {
	t.Parallel()
	a := newShell(t, "exit 0", nil)
	var steps []string
	a.Task.Trace = func(step string) { steps = append(steps, step) }
	execute(t, newLocal(t), a)
	if !slices.Equal(steps, []string{"run", "result"}) {
		t.Errorf("%v", steps)
	}
}

func TestMissingWorkingDirectoryIsASetupFailure(t *testing.T) {
	t.Parallel()
	a := newShell(t, "exit 0", nil)
	a.Task.Dirs.Work = filepath.Join(a.Task.Dirs.Work, "absent")
	result := execute(t, newLocal(t), a)
	if result.Failure == nil || result.Failure.Kind != attune.FailureSetup {
		t.Errorf("%+v", result)
	}
}
