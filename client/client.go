// Package client is the Go client of Attune's HTTP API. The command line uses nothing else.
//
// It owns how a request is written and an answer is read: authentication, retries, and errors. It decides nothing and
// stores nothing. A server inside the same process is called alike, through InProcess.
//
//	c := client.New(client.Config{BaseURL: "https://attune.example.com", Token: os.Getenv("ATTUNE_TOKEN")})
//	defer c.Close()
//	e, err := c.Submit(ctx, client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"message":"hi"}`)})
//	…
//	e, err = c.WaitExecution(ctx, e.ID) // e.Status, e.Result, e.Error
//
// # Errors
//
// What the server refuses, and a server that can't be reached, is an *attune.Error: errors.As finds it, and its Code tells
// what kind it is (attune.CodeNotFound, attune.CodeInvalid with the fields in Details, attune.CodeUnavailable, …). An action
// that fails is no error: it is an execution whose Status is not completed. When a context ends, the error is its cause.
//
// # Retries
//
// A server that is too busy (429), or whose database is away (503), is asked again, up to five times in all, each time
// after twice the pause, and not before the time that it names (Retry-After); one that names more than a minute is not
// waited for. Only what is harmless to do twice is done again: whatever reads, sets or deletes, a refused submission (429), a
// pack's archive that can be rewound (io.Seeker), and a submission with an IdempotencyKey. Without a key, a submission
// that met a 503 may have been stored, and who sends it again may run it twice. A server that can't be reached is an
// error at once, but to WaitExecution and to a log that is followed, which wait a minute for one that starts again.
//
// # Streams
//
// Logs, OpenArtifact and Events go on for as long as there is something to come: their context ends them. What they
// return has to be closed, or read to its end. A log that is followed and breaks off goes on where it was, by itself
// (see Logs). The others end with an error: Events go on with EventsAfter.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-automation/attune"
)

// Config says which server is called.
type Config struct {
	BaseURL   string            // http://127.0.0.1:7080; not used by InProcess
	Token     string            // "" for none
	Transport http.RoundTripper // nil: the network
	TLS       *tls.Config       // of the network; nil: the host's certificate authorities
}

// Client calls the API of one server. It is safe for concurrent use.
type Client struct {
	base     string
	shown    string // base without its password
	token    string
	http     *http.Client
	answered atomic.Int64 // when the server answered last, in Unix nanoseconds; 0: never
}

// New returns a Client. It calls nobody yet. Close frees the connections that it made.
func New(cfg Config) *Client {
	transport := cfg.Transport
	if transport == nil {
		network := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 100, TLSClientConfig: cfg.TLS}
		transport = network
	}
	base := strings.TrimRight(cfg.BaseURL, "/")
	if base == "" {
		base = "http://attune.internal"
	}
	return &Client{base: base, shown: withoutPassword(base), token: cfg.Token, http: &http.Client{Transport: transport}}
}

// withoutPassword is an address as it may be shown. Of what is no URL nobody knows where the password stands.
func withoutPassword(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "(not shown)"
	}
	return u.Redacted()
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call is one request to be made.
type call struct {
	method string
	path   string // below /api/v1
	query  url.Values
	body   any       // JSON
	raw    io.Reader // instead of body; then the request is only repeated if it can be rewound
	header http.Header
	twice  bool     // a POST that is harmless to repeat
	sent   *sending // raw, on its way
}

// Retries of a request that the server was too busy for.
const (
	maxTries   = 5
	firstPause = 200 * time.Millisecond
	maxPause   = time.Minute // a server that asks for more is not waited for
)

// do makes a call and decodes the answer into out, if out is not nil.
func (c *Client) do(ctx context.Context, k call, out any) error {
	answer, err := c.open(ctx, k)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // all that matters was read
	if out == nil {
		return nil
	}
	err = json.NewDecoder(answer.Body).Decode(out)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, new(*json.SyntaxError)), errors.As(err, new(*json.UnmarshalTypeError)):
		return fmt.Errorf("read the answer to %s %s: %w", k.method, k.path, err)
	}
	return attune.Errorf(attune.CodeUnavailable, "the answer to %s %s broke off: %v: try again", k.method, k.path, err)
}

// absent tells for how long the server has not answered, and false if it never has.
func (c *Client) absent() (time.Duration, bool) {
	last := c.answered.Load()
	return time.Since(time.Unix(0, last)), last != 0
}

// open makes a call, again if the server was busy and repeating is harmless, and returns a successful answer.
func (c *Client) open(ctx context.Context, k call) (*http.Response, error) {
	pause := firstPause
	for try := 1; ; try++ {
		if k.raw != nil {
			k.sent = &sending{Reader: k.raw, over: make(chan struct{})}
		}
		answer, err := c.once(ctx, k)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode < http.StatusBadRequest {
			return answer, nil
		}
		again := busy(answer) && k.repeatable(answer.StatusCode)
		wait := max(pause, retryAfter(answer.Header, time.Now()))
		failure := readProblem(answer)
		if !again || try == maxTries || wait > maxPause || !k.rewind(ctx) {
			return nil, failure
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

// busy tells whether the server may be asked again: it is too busy, or its database is away.
func busy(answer *http.Response) bool {
	return answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable
}

// repeatable tells whether a call that was answered so may be made again. What was refused for being too much has done
// nothing; what met a database that went away may have.
func (k call) repeatable(status int) bool {
	return status == http.StatusTooManyRequests || k.method != http.MethodPost || k.twice || k.header.Get("Idempotency-Key") != ""
}

// sending is a body on its way. A transport may read on after it has returned an answer, until it closes the body.
type sending struct {
	io.Reader
	over chan struct{}
	once sync.Once
}

// Close tells that nobody reads any more. What is sent stays open: it is its owner's.
func (s *sending) Close() error {
	s.once.Do(func() { close(s.over) })
	return nil
}

// rewind makes the body ready to be sent again, if it can be.
func (k call) rewind(ctx context.Context) bool {
	if k.raw == nil {
		return true
	}
	body, ok := k.raw.(io.Seeker)
	if !ok {
		return false
	}
	select {
	case <-k.sent.over:
	case <-ctx.Done():
		return false
	}
	_, err := body.Seek(0, io.SeekStart)
	return err == nil
}

// retryAfter is how long the server asks to be left alone: a number of seconds, or a time (RFC 9110, section 10.2.3).
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err == nil || errors.Is(err, strconv.ErrRange) { // of what is out of range, the largest
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (c *Client) once(ctx context.Context, k call) (*http.Response, error) {
	request, err := c.request(ctx, k)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err == nil {
		c.answered.Store(time.Now().UnixNano())
		return answer, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var outer *url.Error // repeats the method and the URL
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return nil, attune.Errorf(attune.CodeUnavailable,
		"can't reach the server at %s: %v: is it running, and is the address right?", c.shown, err)
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	body, kind := k.raw, "application/octet-stream"
	if k.body != nil {
		text, err := json.Marshal(k.body)
		if err != nil {
			return nil, fmt.Errorf("encode the body of %s %s: %w", k.method, k.path, err)
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	target := c.base + "/api/v1" + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		// The error repeats the address, as far as it goes.
		return nil, attune.Errorf(attune.CodeInvalid, "the server's address %s is not one: write http://127.0.0.1:7080", c.shown)
	}
	for name, values := range k.header {
		request.Header[name] = values
	}
	if k.raw != nil {
		request.Body, request.GetBody = k.sent, nil
	}
	if body != nil && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	return request, nil
}

// items is how lists come.
type items[T any] struct {
	Items []T `json:"items"`
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (value T, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &value)
	return value, err
}

func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	all, err := get[items[T]](ctx, c, path, query)
	return all.Items, err
}

func post[T any](ctx context.Context, c *Client, path string) (value T, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path}, &value)
	return value, err
}
