package runtimetest

import (
	"context"
	"testing"

	"github.com/attune-automation/attune/internal/runtime"
)

// Subject is a runtime under test.
type Subject struct {
	Runtime runtime.Runtime // set up, and shared by all tests
	Name    string          // the runner_type
	File    string          // what an action's file is called: action.sh
	Programs
}

// Programs are actions in the subject's language.
type Programs struct {
	Exit3       string // ends with status 3
	KillItself  string // sends itself SIGKILL
	Sleep       string // writes "ready\n", then sleeps for a minute
	Stubborn    string // ignores SIGTERM, writes "ready\n", then sleeps for a minute
	Echo        string // writes the value of its parameter text to stdout, and not a byte more
	ReadsStdin  string // copies standard input to stdout
	IgnoresIt   string // ends at once and does not read standard input
	WriteResult string // writes {"from":"file"} to $ATTUNE_RESULT_FILE and then "log" to stdout
	Flood       string // writes 3,000,000 bytes and a newline to stdout, then the line {"end":true}
	Environment string // writes its environment to stdout as NAME=value, each followed by a NUL
	Daemon      string // leaves a process behind, in a session of its own, that sleeps for a minute; writes its pid
	RemovesDir  string // removes its own working directory and everything in it
}

// execute runs the action to its end, and fails the test for an error of the runtime's own.
func (s *Subject) execute(ctx context.Context, t *testing.T, a *Action) runtime.Result {
	t.Helper()
	if err := s.Runtime.Validate(ctx, a.Task); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	result, err := s.Runtime.Execute(ctx, a.Task)
	if err != nil {
		t.Fatalf("Execute: %v", err)
	}
	return result
}

func (s *Subject) newAction(t *testing.T, program string, parameters map[string]any) *Action {
	t.Helper()
	return NewAction(t, s.Name, s.File, program, parameters)
}
