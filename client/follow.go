package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/attune-automation/attune"
)

// longestPause bounds the pauses between two tries to go on with a log.
const longestPause = 5 * time.Second

// errEarly is for an answer that ended as if it were whole, as some proxies end what breaks off behind them.
var errEarly = fmt.Errorf("the answer ended before the attempt: %w", io.ErrUnexpectedEOF)

// follower reads a log that grows, attempt by attempt: an offset means something within one attempt only, and an answer
// that goes through several does not tell where one of them begins.
//
//	open ──▶ read ──▶ whole ──▶ look ──▶ the last attempt: the end
//	  ▲ ▲      │                  └────▶ one more: from its beginning ─┐
//	  │ └──────│───────────────────────────────────────────────────────┘
//	  │        └────▶ broken off ──▶ pause ──▶ look, until the server answers ─┐
//	  └────────────────────────────────────────────────────────────────────────┘
type follower struct {
	ctx    context.Context //nolint:containedctx // of the one call that it lives for; a Read has none
	end    context.CancelCauseFunc
	client *Client
	id     int64
	stream attune.Stream
	only   bool // the attempt in which it began
	broken func(error)

	mu      sync.Mutex // held by who reads or closes
	body    io.ReadCloser
	err     error // that ended it
	first   int   // the attempt in which it began
	attempt int
	offset  int64 // of the next byte, in the attempt
	trouble
}

// trouble is what is wrong.
type trouble struct {
	told  bool          // that it is broken off
	tries int           // that have failed since bytes came last
	vain  int           // of those, the ones of an attempt that is over: the log itself may be at fault
	lost  time.Time     // since when the server can't be reached; zero: it can
	least time.Duration // for which a server that is busy wants to be left alone
}

// follow begins to follow a log. What is wrong with the first request is the caller's, as of any other call.
func (c *Client) follow(ctx context.Context, id int64, stream attune.Stream, o LogOptions) (io.ReadCloser, error) {
	e, err := c.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	f := &follower{client: c, id: id, stream: stream, only: o.Attempt != 0, broken: o.Broken, attempt: o.Attempt, offset: o.Offset}
	if !f.only {
		f.attempt = begun(e)
	}
	f.first = f.attempt
	f.ctx, f.end = context.WithCancelCause(ctx)
	if err = f.open(); err != nil {
		err = f.resume(err)
	}
	if err != nil {
		f.end(err)
		return nil, err
	}
	return f, nil
}

// begun is the latest attempt that has begun, and of none the first.
func begun(e attune.Execution) int {
	if e.StartedAt == nil && e.Attempt > 1 {
		return e.Attempt - 1 // the next one waits for its turn
	}
	return e.Attempt
}

// Read returns bytes of the log as they come, and io.EOF behind the last attempt's.
func (f *follower) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil {
		n, err := f.body.Read(p)
		if n > 0 {
			f.offset += int64(n)
			f.tries, f.vain = 0, 0
		}
		if n > 0 || err == nil {
			return n, nil // the next one meets err again
		}
		_ = f.body.Close() // read only
		if f.err = f.resume(err); f.err != nil {
			f.end(f.err)
		}
	}
	return 0, f.err
}

// Close ends the following, also under a Read.
func (f *follower) Close() error {
	f.end(errBodyClosed)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil // it was closed, or read to its end
	}
	f.err = errBodyClosed
	return f.body.Close()
}

// resume opens what follows. why is what ended the answer before: io.EOF if it was whole. It returns what ends the log.
func (f *follower) resume(why error) error {
	for {
		whole := errors.Is(why, io.EOF)
		if !whole {
			if err := f.pause(why); err != nil {
				return err
			}
		}
		e, err := f.look()
		if err != nil {
			return err
		}
		over := e.Status.Final() || e.Attempt > f.attempt
		switch {
		case whole && !over:
			why = errEarly
			continue
		case whole && (f.only || e.Attempt == f.attempt):
			return io.EOF
		case whole:
			f.attempt, f.offset = f.attempt+1, 0
		case over:
			f.vain++
		}
		if f.vain == maxTries {
			return why
		}
		if why = f.open(); why == nil {
			return nil
		}
	}
}

// open asks once for the log from where it is to go on. It returns io.EOF of a further attempt that never began.
func (f *follower) open() error {
	query := url.Values{"follow": {"1"}, "attempt": {strconv.Itoa(f.attempt)}}
	if f.offset > 0 {
		query.Set("offset", strconv.FormatInt(f.offset, 10))
	}
	answer, err := f.try(executionPath(f.id, "/logs/"+url.PathEscape(string(f.stream))), query) //nolint:bodyclose // Read and Close do, of f.body
	if err == nil {
		f.body = answer.Body
		return nil
	}
	if attune.ErrorCode(err) != attune.CodeNotFound || f.attempt == f.first {
		return err
	}
	e, unknown := f.look()
	if unknown == nil && e.Status.Final() && e.Attempt == f.attempt && e.StartedAt == nil {
		return io.EOF
	}
	return err
}

// look returns the execution as it is, as soon as the server tells.
func (f *follower) look() (attune.Execution, error) {
	for {
		var e attune.Execution
		answer, err := f.try(executionPath(f.id, ""), nil)
		if err == nil {
			err = json.NewDecoder(answer.Body).Decode(&e)
			_ = answer.Body.Close() // all that matters was read
		}
		if err == nil {
			f.lost = time.Time{}
			f.tell(nil)
			return e, nil
		}
		if err = f.pause(err); err != nil {
			return e, err
		}
	}
}

// try makes a call once.
func (f *follower) try(path string, query url.Values) (*http.Response, error) {
	answer, err := f.client.once(f.ctx, call{method: http.MethodGet, path: path, query: query})
	if err != nil || answer.StatusCode < http.StatusBadRequest {
		return answer, err
	}
	if busy(answer) {
		f.lost, f.least = time.Time{}, retryAfter(answer.Header, time.Now())
	}
	return nil, readProblem(answer)
}

// pause returns when it may be tried again, or at once with what ends the log.
func (f *follower) pause(why error) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	if f.lost.IsZero() {
		f.lost = time.Now()
	}
	if !passing(why) || f.least > maxPause || time.Since(f.lost) > maxAbsence {
		return why
	}
	f.tell(why)
	wait := max(f.least, min(firstPause<<min(f.tries, maxTries), longestPause))
	f.tries++
	f.least = 0
	return sleep(f.ctx, wait)
}

// passing tells whether an error may be over in a moment: what has broken off, and a server or a way to it that is away.
func passing(err error) bool {
	var told *attune.Error
	return !errors.As(err, &told) || told.Code == attune.CodeUnavailable
}

// tell tells the caller when a log breaks off, with the reason, and when it goes on, with nil.
func (f *follower) tell(why error) {
	told := why != nil
	if told != f.told && f.broken != nil {
		f.broken(why)
	}
	f.told = told
}
