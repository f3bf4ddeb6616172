package runtimetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

// Run runs the whole suite on a subject.
func Run(t *testing.T, s *Subject) {
	t.Helper()
	for name, test := range map[string]func(*Subject, *testing.T){
		"exit code":                        (*Subject).testExitCode,
		"signal":                           (*Subject).testSignal,
		"timeout":                          (*Subject).testTimeout,
		"cancel":                           (*Subject).testCancel,
		"cancelled before it began":        (*Subject).testCancelledBefore,
		"ignores SIGTERM":                  (*Subject).testStubborn,
		"leaves no process":                (*Subject).testDaemon,
		"removes its directory":            (*Subject).testRemovesDirectory,
		"missing file":                     (*Subject).testMissingFile,
		"entry point outside":              (*Subject).testOutside,
		"directories and environment":      (*Subject).testEnvironment,
		"parameters unchanged":             (*Subject).testParameters,
		"any text unchanged":               (*Subject).testAnyText,
		"delivery":                         (*Subject).testDelivery,
		"reads no input":                   (*Subject).testIgnoredInput,
		"result file":                      (*Subject).testResultFile,
		"result at the end of much output": (*Subject).testFlood,
		"large result file":                (*Subject).testBrokenResult,
		"output schema":                    (*Subject).testSchema,
		"resources":                        (*Subject).testResources,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(s, t)
		})
	}
}

func (s *Subject) testExitCode(t *testing.T) {
	result := s.execute(t.Context(), t, s.newAction(t, s.Exit3, nil))
	if result.ExitCode == nil || *result.ExitCode != 3 || result.Signal != nil || result.Stopped != runtime.NotStopped {
		t.Errorf("%+v", result)
	}
	if result.Failure != nil || result.Completed() {
		t.Errorf("an exit speaks for itself: %+v", result.Failure)
	}
}

func (s *Subject) testSignal(t *testing.T) {
	result := s.execute(t.Context(), t, s.newAction(t, s.KillItself, nil))
	assertSignal(t, result, "SIGKILL", runtime.NotStopped)
}

func assertSignal(t *testing.T, result runtime.Result, signal string, stopped runtime.Stop) {
	t.Helper()
	if result.Signal == nil || *result.Signal != signal || result.ExitCode != nil || result.Stopped != stopped {
		t.Errorf("got %+v, want %s and stopped %q", result, signal, stopped)
	}
}

func (s *Subject) testTimeout(t *testing.T) {
	a := s.newAction(t, s.Sleep, nil)
	a.Task.Timeout = 500 * time.Millisecond
	result := s.execute(t.Context(), t, a)
	if result.Stopped != runtime.StoppedTimeout || result.Completed() {
		t.Errorf("%+v", result)
	}
}

func (s *Subject) testCancel(t *testing.T) {
	a := s.newAction(t, s.Sleep, nil)
	result := s.execute(cancelledWhenReady(t, a), t, a)
	if result.Stopped != runtime.StoppedCancelled || result.Completed() {
		t.Errorf("%+v", result)
	}
}

// cancelledWhenReady returns a context that ends after the action's first output.
func cancelledWhenReady(t *testing.T, a *Action) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-a.Stdout.ready:
		case <-t.Context().Done():
		}
		cancel(errors.New("somebody asked"))
	}()
	t.Cleanup(func() { <-ended })
	return ctx
}

func (s *Subject) testCancelledBefore(t *testing.T) {
	a := s.newAction(t, s.Sleep, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("somebody asked"))
	result, err := s.Runtime.Execute(ctx, a.Task)
	if err != nil || result.Stopped != runtime.StoppedCancelled {
		t.Errorf("%+v, %v", result, err)
	}
}

func (s *Subject) testStubborn(t *testing.T) {
	a := s.newAction(t, s.Stubborn, nil)
	a.Task.Grace = 300 * time.Millisecond
	result := s.execute(cancelledWhenReady(t, a), t, a)
	assertSignal(t, result, "SIGKILL", runtime.StoppedCancelled)
}

func (s *Subject) testDaemon(t *testing.T) {
	a := s.newAction(t, s.Daemon, nil)
	result := s.execute(t.Context(), t, a)
	pid := strings.TrimSpace(a.Stdout.String())
	if pid == "" || !result.Completed() {
		t.Fatalf("pid %q, %+v, stderr %s", pid, result, a.Stderr)
	}
	if state := processState(pid); state != "" && state != "Z" {
		t.Errorf("process %s outlived its action, in state %s", pid, state)
	}
}

// processState is the letter that proc(5) gives: "Z" for one that has ended but that its parent, here the host's first
// process, has not yet asked for; "" for none.
func processState(pid string) string {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

func (s *Subject) testRemovesDirectory(t *testing.T) {
	a := s.newAction(t, s.RemovesDir, nil)
	result := s.execute(t.Context(), t, a)
	if !result.Completed() {
		t.Errorf("%+v, stderr %s", result, a.Stderr)
	}
	if _, err := os.Stat(a.Task.Dirs.Work); err == nil {
		t.Error("the fault was not injected")
	}
}

func (s *Subject) testMissingFile(t *testing.T) {
	a := s.newAction(t, s.Exit3, nil)
	a.Task.Action.EntryPoint = "actions/absent"
	s.assertSetup(t, a, "actions/absent")
}

func (s *Subject) testOutside(t *testing.T) {
	a := s.newAction(t, s.Exit3, nil)
	a.Task.Action.EntryPoint = "../pack/actions/" + s.File
	s.assertSetup(t, a, "out of the pack")
}

func (s *Subject) assertSetup(t *testing.T, a *Action, says string) {
	t.Helper()
	var setup *runtime.SetupError
	if err := s.Runtime.Validate(t.Context(), a.Task); !errors.As(err, &setup) {
		t.Errorf("Validate = %v", err)
	}
	result, err := s.Runtime.Execute(t.Context(), a.Task)
	if err != nil || result.Failure == nil || result.Failure.Kind != attune.FailureSetup ||
		!strings.Contains(result.Failure.Message, says) {
		t.Errorf("%+v, %v, want setup saying %q", result.Failure, err, says)
	}
}

func (s *Subject) testResources(t *testing.T) {
	result := s.execute(t.Context(), t, s.newAction(t, s.Flood, nil))
	if result.Resources.MaxRSSBytes <= 0 || result.Resources.CPUMillis < 0 {
		t.Errorf("%+v", result.Resources)
	}
}
