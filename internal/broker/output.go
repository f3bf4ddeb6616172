package broker

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"github.com/attune-automation/attune"
)

// OutputRequested asks a worker for what an attempt writes to a stream, as it is written. It is good for a few seconds,
// and repeated while somebody reads. The worker answers each with at least one OutputWritten.
type OutputRequested struct {
	ExecutionID int64         `json:"execution_id"`
	Attempt     int           `json:"attempt"`
	Stream      attune.Stream `json:"stream"`
	ReplyTo     string        `json:"reply_to"` // the server's name
	Request     int64         `json:"request"`  // counts the server's requests for this log, from 1
	Offset      int64         `json:"offset"`   // the server has the bytes before it
	Until       int64         `json:"until"`    // those from there on are not to be sent yet
	Again       bool          `json:"again"`    // something was lost: send from Offset on, whatever was sent before
}

// FollowOutput returns the request to a worker. It is mandatory: a worker that can't be asked is not waited for.
func FollowOutput(workerID int64, p OutputRequested) Message {
	return newMessage(keyFollow+strconv.FormatInt(workerID, 10), true, p)
}

func (OutputRequested) messageType() string  { return TypeOutputRequested }
func (p OutputRequested) executionID() int64 { return p.ExecutionID }
func (p OutputRequested) check() error {
	return cmp.Or(
		positive("execution_id", p.ExecutionID), positive("attempt", int64(p.Attempt)), streamed(p.Stream), named(p.ReplyTo),
		positive("request", p.Request), notNegative("offset", p.Offset), notNegative("until", p.Until),
	)
}

// OutputWritten brings a part of a log to a server that has asked for it.
type OutputWritten struct {
	ExecutionID int64         `json:"execution_id"`
	Attempt     int           `json:"attempt"`
	Stream      attune.Stream `json:"stream"`
	Request     int64         `json:"request"` // the last one that the worker had seen when it sent this
	Offset      int64         `json:"offset"`  // of the first byte of Data
	Data        []byte        `json:"data"`    // base64; may be empty
	Size        int64         `json:"size"`    // of the log when this was read
	Ended       bool          `json:"ended"`   // the log will not grow any more
}

// SendOutput returns the message to the server of this name. It is mandatory, so that the worker learns when nobody
// listens any more.
func SendOutput(server string, p OutputWritten) Message { return newMessage(keyOutput+server, true, p) }

func (OutputWritten) messageType() string  { return TypeOutputWritten }
func (p OutputWritten) executionID() int64 { return p.ExecutionID }
func (p OutputWritten) check() error {
	return cmp.Or(
		positive("execution_id", p.ExecutionID), positive("attempt", int64(p.Attempt)), streamed(p.Stream),
		positive("request", p.Request), notNegative("offset", p.Offset), notNegative("size", p.Size),
	)
}

// serverName is one word of a routing key.
var serverName = regexp.MustCompile(`^[a-zA-Z0-9-]{1,64}$`)

func named(server string) error {
	if !serverName.MatchString(server) {
		return fmt.Errorf("reply_to %.80q is not the name of a server: up to 64 letters, digits and hyphens", server)
	}
	return nil
}

func streamed(s attune.Stream) error {
	if s != attune.Stdout && s != attune.Stderr {
		return fmt.Errorf("stream %.32q is neither %s nor %s", string(s), attune.Stdout, attune.Stderr)
	}
	return nil
}

func notNegative(field string, value int64) error {
	if value < 0 {
		return fmt.Errorf("%s is %d, want at least 0", field, value)
	}
	return nil
}
