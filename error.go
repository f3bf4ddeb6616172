package attune

import (
	"errors"
	"fmt"
)

// Code says what kind of error a caller meets; the edges turn it into an exit status or an HTTP status.
type Code string

// The codes of errors.
const (
	CodeInvalid     Code = "invalid"      // the input is wrong; exit 2, HTTP 422
	CodeNotFound    Code = "not_found"    // there is no such thing; exit 3, HTTP 404
	CodeConflict    Code = "conflict"     // refused in the present state; exit 3, HTTP 409
	CodeDenied      Code = "denied"       // the token does not allow it; exit 3, HTTP 403
	CodeNoToken     Code = "no_token"     // a token is missing or unknown; exit 3, HTTP 401
	CodeUnavailable Code = "unavailable"  // the server can't be reached or is degraded; exit 4, HTTP 503
	CodeStale       Code = "stale_writer" // the fence refused a write of an attempt that is over; internal
	CodeInternal    Code = "internal"     // our own error; exit 4, HTTP 500
)

// Error is what users and programs are told. Message is a sentence that says what to do next; Details locate each
// fault of an input that has several.
type Error struct {
	Code    Code
	Message string
	Details []Detail
}

// Detail is one fault of an input.
type Detail struct {
	Place   string `json:"location,omitempty"` // the field's path (body.parameters.count) or file:line:column
	Message string `json:"message"`
}

// String returns "place: message".
func (d Detail) String() string {
	if d.Place == "" {
		return d.Message
	}
	return d.Place + ": " + d.Message
}

// Error returns the message, then each detail on a line of its own.
func (e *Error) Error() string {
	text := e.Message
	for _, d := range e.Details {
		text += "\n  " + d.String()
	}
	return text
}

// Errorf returns an Error with this code and message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorCode returns the code of the first Error that err wraps: CodeInternal if there is none, "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
