package runtime

import (
	"errors"
	"fmt"

	"github.com/attune-automation/attune"
)

// SetupError says that an action can't be started as it is: its file is missing, its interpreter is gone, its
// environment does not fit. The message says what to do.
type SetupError struct{ Message string }

// Error returns the message.
func (e *SetupError) Error() string { return e.Message }

// Setupf returns a SetupError.
func Setupf(format string, args ...any) error {
	return &SetupError{Message: fmt.Sprintf(format, args...)}
}

// SetupFailure returns the Result for an error that is a SetupError, and any other error as it is.
func SetupFailure(err error) (Result, error) {
	var setup *SetupError
	if !errors.As(err, &setup) {
		return Result{}, err
	}
	return Result{Failure: &attune.Failure{Kind: attune.FailureSetup, Message: setup.Message}}, nil
}
