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
}

// Logs returns what an execution wrote to a stream, byte for byte. The caller closes it.
func (c *Client) Logs(ctx context.Context, id int64, stream attune.Stream, o LogOptions) (io.ReadCloser, error) {
	query := url.Values{}
	if o.Offset > 0 {
		query.Set("offset", strconv.FormatInt(o.Offset, 10))
	}
	if o.Follow {
		query.Set("follow", "1")
	}
	if o.Attempt > 0 {
		query.Set("attempt", strconv.Itoa(o.Attempt))
	}
	return c.read(ctx, executionPath(id, "/logs/"+url.PathEscape(string(stream))), query)
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
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	query := url.Values{}
	if attempt > 0 {
		query.Set("attempt", strconv.Itoa(attempt))
	}
	return c.read(ctx, executionPath(id, "/artifacts/"+strings.Join(parts, "/")), query)
}

func (c *Client) read(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	answer, err := c.open(ctx, call{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Event is one change of an execution's status. It may be old news when it is read: the execution tells.
type Event struct {
	ExecutionID    int64         `json:"execution_id"`
	ActionRef      attune.Ref    `json:"action_ref"`
	Attempt        int           `json:"attempt"`
	PreviousStatus attune.Status `json:"previous_status"`
	NewStatus      attune.Status `json:"new_status"`
	ChangedAt      time.Time     `json:"changed_at"`
}

// Events yields changes of status from now on, until ctx ends or the server closes the stream, which is an error.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		body, err := c.read(ctx, "/events", nil)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer func() { _ = body.Close() }() // read only
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var event Event
			err := json.Unmarshal([]byte(data), &event)
			if !yield(event, err) || err != nil {
				return
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
