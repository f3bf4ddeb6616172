package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/attune-automation/attune"
)

// Exit statuses, as the contract has them.
const (
	exitCompleted = 0
	exitFailed    = 1
	exitUsage     = 2
	exitRefused   = 3
	exitInternal  = 4
	exitTimeout   = 124
	exitAbandoned = 125
	exitCancelled = 130
)

// usage is an error of the command line.
func usage(format string, args ...any) error {
	return attune.Errorf(attune.CodeInvalid, format, args...)
}

// exitError ends a command with a status and says nothing more: all was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exit says what went wrong, once, and returns the status for it. An output that is not whole changes the status only
// where all else went well: that of an execution is worth more.
func (a *app) exit(err error) int {
	var silent exitError
	fault := a.output.fault()
	if fault != nil && (err == nil || errors.Is(err, fault) || errors.As(err, &silent)) {
		return a.exitCutOff(err, fault)
	}
	switch {
	case err == nil:
		return exitCompleted
	case errors.As(err, &silent):
		return int(silent)
	case errors.Is(err, context.Canceled):
		return exitCancelled
	}
	a.complain(err)
	status := exitFor(err)
	if status == exitInternal && a.config != nil {
		if advice := dataDirAdvice(a.config); advice != "" {
			_, _ = fmt.Fprintf(a.Stderr, "  %s\n", advice) // nowhere is left to say that it failed
		}
	}
	return status
}

// exitCutOff is exit for a command whose output was cut off by fault.
func (a *app) exitCutOff(err, fault error) int {
	status := exitCompleted
	if !readerGone(fault) {
		status = exitInternal
		a.complain(fmt.Errorf("the output is not whole: %w", fault))
	}
	var silent exitError
	if errors.As(err, &silent) {
		return int(silent)
	}
	return status
}

// complain prints an error as `attune: …`.
func (a *app) complain(err error) {
	text := err.Error()
	var known *attune.Error
	if errors.As(err, &known) {
		text = known.Message
		for _, d := range known.Details {
			// The API places faults in the request's body, which a command's user has never seen.
			d.Place = strings.TrimPrefix(d.Place, "body.")
			text += "\n  " + d.String()
		}
	}
	_, _ = fmt.Fprintf(a.Stderr, "attune: %s\n", printableLines(text)) // nowhere is left to say that it failed
}

func exitFor(err error) int {
	switch attune.ErrorCode(err) {
	case attune.CodeInvalid:
		return exitUsage
	case attune.CodeNotFound, attune.CodeConflict, attune.CodeDenied, attune.CodeNoToken:
		return exitRefused
	}
	return exitInternal
}

// exitOf is the status of a command that followed an execution to this end.
func exitOf(status attune.Status) error {
	switch status {
	case attune.StatusCompleted:
		return nil
	case attune.StatusTimeout:
		return exitError(exitTimeout)
	case attune.StatusAbandoned:
		return exitError(exitAbandoned)
	case attune.StatusCancelled:
		return exitError(exitCancelled)
	}
	return exitError(exitFailed)
}
