package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(running{m}) }

// calling runs test against handler over the network and in process.
func calling(t *testing.T, handler http.HandlerFunc, test func(*testing.T, *client.Client)) {
	t.Helper()
	t.Run("network", func(t *testing.T) {
		server := httptest.NewServer(handler)
		defer server.Close()
		c := client.New(client.Config{BaseURL: server.URL + "/", Token: "secret"})
		defer c.Close()
		test(t, c)
	})
	t.Run("in process", func(t *testing.T) {
		c := client.New(client.Config{Token: "secret", Transport: client.InProcess(handler)})
		defer c.Close()
		test(t, c)
	})
}

func TestRequestsBearTheTokenAndAreEncoded(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := map[string]any{"action": "core.echo", "parameters": map[string]string{
			"seen": fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Authorization"), " ", r.Header.Get("Idempotency-Key"), " ", string(body)),
		}}
		_ = json.NewEncoder(w).Encode(answer)
	}
	calling(t, handler, func(t *testing.T, c *client.Client) {
		e, err := c.Submit(context.Background(), client.Submission{
			Action: "core.echo", Parameters: json.RawMessage(`{"a":1}`), Timeout: 1500 * time.Millisecond, IdempotencyKey: "k",
		})
		const want = `POST /api/v1/executions Bearer secret k {\"action\":\"core.echo\",\"parameters\":{\"a\":1},\"timeout_seconds\":1.5}`
		if err != nil || !strings.Contains(string(e.Parameters), want) {
			t.Errorf("%s %v", e.Parameters, err)
		}
	})
}

func TestProblemsBecomeErrors(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]attune.Code{
		400: attune.CodeInvalid, 401: attune.CodeNoToken, 403: attune.CodeDenied, 404: attune.CodeNotFound,
		409: attune.CodeConflict, 413: attune.CodeInvalid, 422: attune.CodeInvalid, 500: attune.CodeInternal, 502: attune.CodeUnavailable,
	} {
		handler := func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"detail":"what is wrong","errors":[{"location":"body.x","message":"why"}]}`)
		}
		calling(t, handler, func(t *testing.T, c *client.Client) {
			_, err := c.Execution(context.Background(), 1)
			if attune.ErrorCode(err) != code || err.Error() != "what is wrong\n  body.x: why" {
				t.Errorf("%d: %v %v", status, attune.ErrorCode(err), err)
			}
		})
	}
}

func TestAnswersThatAreNoProblemAreQuoted(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>proxy error</html>", http.StatusBadGateway)
	}
	calling(t, handler, func(t *testing.T, c *client.Client) {
		_, err := c.Execution(context.Background(), 1)
		if err == nil || !strings.Contains(err.Error(), "502") || !strings.Contains(err.Error(), "proxy error") {
			t.Error(err)
		}
	})
}

// busy refuses the first requests and counts all of them.
func busy(refusals int64, status int) (http.HandlerFunc, *atomic.Int64) {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/api/v1/packs" && string(sent) != "x" {
			w.WriteHeader(http.StatusInternalServerError) // it was not sent from its start
			return
		}
		if seen.Add(1) <= refusals {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, `{"id":7,"status":"completed"}`)
	}, &seen
}

func TestBusyServerIsAskedAgainWhereThatIsHarmless(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call       func(context.Context, *client.Client) error
		much, away bool // asked again when it was too much, when the database was away
	}{
		"get":    {func(ctx context.Context, c *client.Client) error { _, err := c.Execution(ctx, 7); return err }, true, true},
		"delete": {func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, 7) }, true, true},
		"submit with a key": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Submit(ctx, client.Submission{Action: "a.b", IdempotencyKey: "k"})
			return err
		}, true, true},
		"submit without": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Submit(ctx, client.Submission{Action: "a.b"})
			return err
		}, true, false},
		"upload": {func(ctx context.Context, c *client.Client) error {
			_, err := c.InstallPack(ctx, strings.NewReader("x"))
			return err
		}, true, true},
		"upload of what can't be rewound": {func(ctx context.Context, c *client.Client) error {
			_, err := c.InstallPack(ctx, io.MultiReader(strings.NewReader("x")))
			return err
		}, false, false},
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			handler, seen := busy(2, status)
			c := client.New(client.Config{Transport: client.InProcess(handler)})
			err := test.call(context.Background(), c)
			want, code := int64(3), attune.Code("")
			if status == http.StatusTooManyRequests && !test.much || status == http.StatusServiceUnavailable && !test.away {
				want, code = 1, attune.CodeUnavailable
			}
			if attune.ErrorCode(err) != code || seen.Load() != want {
				t.Errorf("%s, %d: asked %d times, %v", name, status, seen.Load(), err)
			}
		}
	}
}

func TestWaitOutlivesAServerThatStartsAgain(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch seen.Add(1) {
		case 1:
			_, _ = io.WriteString(w, `{"id":7,"status":"running"}`)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = io.WriteString(w, `{"id":7,"status":"completed"}`)
		}
	})
	c := client.New(client.Config{Transport: client.InProcess(handler)})
	if e, err := c.WaitExecution(context.Background(), 7); err != nil || e.Status != attune.StatusCompleted || seen.Load() != 3 {
		t.Errorf("%v %v after %d requests", e.Status, err, seen.Load())
	}
}

func TestWaitOutlivesAnAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	calling(t, func(w http.ResponseWriter, _ *http.Request) {
		text := `{"id":7,"status":"completed"}`
		if seen.Add(1)%2 == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			text = text[:10]
		}
		_, _ = io.WriteString(w, text)
		if len(text) == 10 {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler) // as the connection of a server that is killed
		}
	}, func(t *testing.T, c *client.Client) {
		e, err := c.WaitExecution(t.Context(), 7)
		if err != nil || e.Status != attune.StatusCompleted || seen.Load()%2 != 0 {
			t.Errorf("%v %v after %d requests", e.Status, err, seen.Load())
		}
	})
}

func TestUnreachableServerIsNamed(t *testing.T) {
	t.Parallel()
	c := client.New(client.Config{BaseURL: "http://127.0.0.1:1"})
	defer c.Close()
	_, err := c.Execution(context.Background(), 1)
	if attune.ErrorCode(err) != attune.CodeUnavailable || !strings.Contains(err.Error(), "http://127.0.0.1:1") {
		t.Error(err)
	}
}

func TestPasswordOfAnAddressIsNotShown(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"http://u:hunter2@127.0.0.1:1", "u:hunter2@127.0.0.1:1", "http://u:hunter2@127.0.0.1:x", "http://u:hunter2@[::1", "ftp://u:hunter2@127.0.0.1",
	} {
		c := client.New(client.Config{BaseURL: address})
		_, err := c.Execution(context.Background(), 1)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
		c.Close()
	}
}

func TestStreamsComeAsWrittenAndBreakVisibly(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	calling(t, handler, func(t *testing.T, c *client.Client) {
		log, err := c.Logs(context.Background(), 1, attune.Stdout, client.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		text, err := io.ReadAll(log)
		if string(text) != "first" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q %v", text, err)
		}
	})
}

func TestClosingABodyEndsItsHandler(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "x")
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	c := client.New(client.Config{Transport: client.InProcess(handler)})
	log, err := c.Logs(context.Background(), 1, attune.Stdout, client.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the handler's context had not ended")
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	reached := make(chan struct{}, 2)
	handler := func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
	}
	calling(t, handler, func(t *testing.T, c *client.Client) {
		ctx, stop := context.WithCancelCause(context.Background())
		go func() { <-reached; stop(cause) }()
		if _, err := c.WaitExecution(ctx, 1); !errors.Is(err, cause) {
			t.Error(err)
		}
	})
}

func TestEventsAreRead(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ": hello\n\nevent: status\ndata: {\"execution_id\":7,\"new_status\":\"running\"}\n\n")
	}
	calling(t, handler, func(t *testing.T, c *client.Client) {
		var seen []client.Event
		var last error
		for event, err := range c.Events(context.Background()) {
			if last = err; err == nil {
				seen = append(seen, event)
			}
		}
		if len(seen) != 1 || seen[0].ExecutionID != 7 || seen[0].NewStatus != attune.StatusRunning || last == nil {
			t.Errorf("%+v %v", seen, last)
		}
	})
}

func TestServerIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	text := func(after string) func() string { return func() string { return after } }
	at := func(in time.Duration) func() string {
		return func() string { return time.Now().Add(in).UTC().Format(http.TimeFormat) }
	}
	for name, test := range map[string]struct {
		after func() string
		seen  int64
		least time.Duration
	}{
		"seconds":   {text("1"), 2, time.Second},
		"a time":    {at(3 * time.Second), 2, time.Second}, // a time has no fractions
		"gone by":   {at(-time.Hour), 2, 0},
		"no number": {text("soon"), 2, 0},
		"negative":  {text("-5"), 2, 0},
		"too long":  {text("3600"), 1, 0},
		"for ever":  {text("99999999999999"), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int64
			c := client.New(client.Config{Transport: client.InProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if seen.Add(1) == 1 {
					w.Header().Set("Retry-After", test.after())
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				_, _ = io.WriteString(w, `{"id":7}`)
			}))})
			begun := time.Now()
			_, err := c.Execution(t.Context(), 7)
			if took := time.Since(begun); seen.Load() != test.seen || took < test.least || took > 20*time.Second || (err == nil) != (test.seen == 2) {
				t.Errorf("asked %d times in %v: %v", seen.Load(), took, err)
			}
		})
	}
}
