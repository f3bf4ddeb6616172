package runtimetest

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/attune-automation/attune"
)

func (s *Subject) testResultFile(t *testing.T) {
	result := s.execute(t.Context(), t, s.newAction(t, s.WriteResult, nil))
	if string(result.Value) != `{"from":"file"}` || !result.Completed() {
		t.Errorf("%s, %+v", result.Value, result)
	}
}

func (s *Subject) testFlood(t *testing.T) {
	a := s.newAction(t, s.Flood, nil)
	result := s.execute(t.Context(), t, a)
	if string(result.Value) != `{"end":true}` || !result.Completed() {
		t.Errorf("%.100s, %+v", result.Value, result.Failure)
	}
	const want = 3_000_000 + 1 + len(`{"end":true}`) + 1
	if got := len(a.Stdout.String()); got != want {
		t.Errorf("%d bytes of output, want %d", got, want)
	}
}

func (s *Subject) testBrokenResult(t *testing.T) {
	a := s.newAction(t, s.WriteResult, nil)
	a.Task.MaxResultBytes = 4
	s.assertFailed(t, a, attune.FailureResultTooLarge)
}

func (s *Subject) testSchema(t *testing.T) {
	a := s.newAction(t, s.WriteResult, nil)
	a.Task.CheckResult = func(json.RawMessage) error { return errors.New("not what was promised") }
	s.assertFailed(t, a, attune.FailureResultInvalid)
}

func (s *Subject) assertFailed(t *testing.T, a *Action, kind attune.FailureKind) {
	t.Helper()
	result := s.execute(t.Context(), t, a)
	if result.Failure == nil || result.Failure.Kind != kind || result.Value != nil || result.Completed() {
		t.Errorf("%+v, want %s", result, kind)
	}
}
