package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// LogOptions say which part of a log is wanted.
type LogOptions struct {
	Offset  int64 // bytes to leave out at the beginning
	Follow  bool  // go on until the execution has ended, through all further attempts
	Attempt int   // this attempt's alone; 0: the latest, and those that follow

	// Broken, if it is not nil, is told when a log that is followed breaks off, with the reason, and with nil when it goes
	// on. Logs calls it, and Read of what that returns.
	Broken func(why error)
}

// Logs returns what an execution wrote to a stream, byte for byte. The caller closes it.
//
// A log that is followed over the network and breaks off, because the server is started again or a proxy ends what is
// silent, goes on at the byte and in the attempt where it was: nothing is missing, nothing comes twice. The server is asked
// again after 200 ms, then after twice the pause each time, up to 5 s, and not before the time that it names (Retry-After;
// more than a minute is not waited for). As WaitExecution does, it gives up when the server can't be reached for a minute,
// but not while it only is busy or without its database (429, 503). A log that breaks off five times with nothing new,
// although its attempt is over, ends with that error. What the server refuses (401, 403, 404, 422) ends it at once, and so
// does ctx. One that is read through InProcess has no way on which it could break, and ends with any error.
func (c *Client) Logs(ctx context.Context, id int64, stream attune.Stream, o LogOptions) (io.ReadCloser, error) {
	if _, here := c.http.Transport.(inProcess); o.Follow && !here {
		return c.follow(ctx, id, stream, o)
	}
	query := url.Values{}
	if o.Offset > 0 {
		query.Set("offset", strconv.FormatInt(o.Offset, 10))
	}
	if o.Follow {
		query.Set("follow", "1")
	}
	if o.Attempt != 0 {
		query.Set("attempt", strconv.Itoa(o.Attempt))
	}
	return c.read(ctx, executionPath(id, "/logs/"+url.PathEscape(string(stream))), query)
}

// Order is how the two logs of an attempt came after each other.
type Order struct {
	Attempt int                `json:"attempt"`
	Turns   attune.OutputOrder `json:"turns"` // empty while it is not known, and of an attempt that has not written to both
}

// OutputOrder returns how the logs of an attempt, or with 0 of the latest one, came after each other.
func (c *Client) OutputOrder(ctx context.Context, id int64, attempt int) (o Order, err error) {
	query := url.Values{}
	if attempt != 0 {
		query.Set("attempt", strconv.Itoa(attempt))
	}
	return o, c.do(ctx, call{method: http.MethodGet, path: executionPath(id, "/logs/order"), query: query}, &o)
}

// Artifacts lists what the attempts of an execution left.
func (c *Client) Artifacts(ctx context.Context, id int64) ([]attune.Artifact, error) {
	return list[attune.Artifact](ctx, c, executionPath(id, "/artifacts"), nil)
}

// OpenArtifact returns the content of an artifact, of this attempt or, with 0, of the latest one that has it. The
// caller closes it.
func (c *Client) OpenArtifact(ctx context.Context, id int64, name string, attempt int) (io.ReadCloser, error) {
	if !fs.ValidPath(name) { // a URL with such a path would mean something else
		return nil, attune.Errorf(attune.CodeNotFound, "execution %d has no artifact %q: names are plain paths", id, name)
	}
	query := url.Values{}
	if attempt != 0 {
		query.Set("attempt", strconv.Itoa(attempt))
	}
	return c.read(ctx, artifactPath(id, name), query)
}

func artifactPath(id int64, name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return executionPath(id, "/artifacts/"+strings.Join(parts, "/"))
}

// AddArtifact adds a file to an execution that runs, under a name below files/. One of that name is replaced.
func (c *Client) AddArtifact(ctx context.Context, id int64, name string, content io.Reader) (a attune.Artifact, err error) {
	if !fs.ValidPath(name) { // the same
		return a, attune.Errorf(attune.CodeInvalid, "%q names no artifact: names are plain paths, like files/report.csv", name)
	}
	return a, c.do(ctx, call{method: http.MethodPut, path: artifactPath(id, name), raw: content}, &a)
}

func (c *Client) read(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	answer, err := c.open(ctx, call{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Types of events.
const (
	EventRequested = "requested" // an execution waits for a worker: ExecutionID, ActionRef
	EventScheduled = "scheduled" // it has one: ExecutionID, Attempt, WorkerID
	EventStatus    = "status"    // its status changed to another one: all fields but WorkerID
	EventReset     = "reset"     // some events may be missing: executions are to be read again
)

// Event tells of one execution. It may be old news when it is read: the execution tells.
type Event struct {
	ID             string        `json:"-"` // for EventsAfter
	Type           string        `json:"-"` // more may come to be: skip those that are not known
	ExecutionID    int64         `json:"execution_id"`
	ActionRef      attune.Ref    `json:"action_ref"`
	Attempt        int           `json:"attempt"`
	WorkerID       int64         `json:"worker_id"`
	PreviousStatus attune.Status `json:"previous_status"`
	NewStatus      attune.Status `json:"new_status"`
	ChangedAt      time.Time     `json:"changed_at"`
}

// Events yields events from now on, until ctx ends or the server closes the stream, which is an error.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] { return c.EventsAfter(ctx, "") }

// EventsAfter yields the events behind the one with this id, and then those from now on. Where the server does not have all
// of them any more, the first one is an EventReset.
func (c *Client) EventsAfter(ctx context.Context, id string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		k := call{method: http.MethodGet, path: "/events", header: http.Header{}}
		if id != "" {
			k.header.Set("Last-Event-ID", id)
		}
		answer, err := c.open(ctx, k)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer func() { _ = answer.Body.Close() }() // read only
		lines := bufio.NewScanner(answer.Body)
		for e := (Event{}); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.ID = value
			case "event":
				e.Type = value
			case "data":
				err := json.Unmarshal([]byte(value), &e)
				if !yield(e, err) || err != nil {
					return
				}
				e = Event{}
			}
		}
		err = lines.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		if ctx.Err() == nil {
			yield(Event{}, fmt.Errorf("the stream of events ended: %w", err))
		}
	}
}
