package client_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/testserver"
)

// cutting is a real server behind a proxy that cuts connections, and what a follower was told.
type cutting struct {
	*client.Client // through the proxy
	t              *testing.T
	way            *testserver.Proxy
	direct         *client.Client
	url            string
	hold           string // files of this name and an ending are what actions wait for
	broke, goesOn  int    // how often the follower was told
	told           chan error
}

func newCutting(t *testing.T) *cutting {
	t.Helper()
	server, token := serverOfExamples()
	way, url := testserver.Through(t, server)
	c := &cutting{
		t: t, way: way, url: url, hold: filepath.Join(t.TempDir(), "go"), told: make(chan error, 1000),
		Client: client.New(client.Config{BaseURL: url, Token: token}), direct: client.New(client.Config{BaseURL: server, Token: token}),
	}
	t.Cleanup(c.Close)
	t.Cleanup(c.direct.Close)
	return c
}

// install installs a pack whose one action runs this, up to three times.
func (c *cutting) install(ref, content string) {
	c.t.Helper()
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	files := tar.NewWriter(compressed)
	for name, text := range map[string]string{
		"pack.yaml": "ref: " + ref + "\nversion: 1.0.0\n",
		"actions/run.yaml": "ref: " + ref + ".run\nrunner_type: shell\nentry_point: run.sh\nparameters: {hold: {type: string}}\n" +
			"retry: {max_attempts: 3, delay: 300ms}\n",
		"actions/run.sh": content,
	} {
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			c.t.Fatal(err)
		}
		_, _ = io.WriteString(files, text) // into memory
	}
	if err := errors.Join(files.Close(), compressed.Close()); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.direct.InstallPack(c.t.Context(), &archive); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cutting) submit(s client.Submission) int64 {
	c.t.Helper()
	s.Parameters = json.RawMessage(fmt.Sprintf(`{"hold":%q}`, c.hold))
	e, err := c.direct.Submit(c.t.Context(), s)
	if err != nil {
		c.t.Fatal(err)
	}
	return e.ID
}

func (c *cutting) release(ending string) {
	c.t.Helper()
	if err := os.WriteFile(c.hold+ending, nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// follow begins to follow stdout through the proxy.
func (c *cutting) follow(ctx context.Context, by *client.Client, id int64) io.ReadCloser {
	c.t.Helper()
	log, err := by.Logs(ctx, id, attune.Stdout, client.LogOptions{Follow: true, Broken: func(why error) {
		if why == nil {
			c.goesOn++
		} else {
			c.broke++
		}
		c.told <- why
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	return log
}

// cut cuts all connections, and lets new ones through at once.
func (c *cutting) cut() {
	c.way.Cut()
	c.way.Restore()
}

// stored is what the server has of an attempt afterwards.
func (c *cutting) stored(id int64, attempt int) []byte {
	c.t.Helper()
	log, err := c.direct.Logs(c.t.Context(), id, attune.Stdout, client.LogOptions{Attempt: attempt})
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(log)
	if err := errors.Join(err, log.Close()); err != nil {
		c.t.Fatal(err)
	}
	return text
}

// steps writes many lines, waits, writes many more, waits, and fails but in the third attempt.
const steps = `seq -f "attempt $ATTUNE_ATTEMPT line %.0f" 40000
until [ -e "$PARAM_HOLD.$ATTUNE_ATTEMPT.half" ]; do sleep 0.02; done
seq -f "attempt $ATTUNE_ATTEMPT line %.0f" 40001 80000
until [ -e "$PARAM_HOLD.$ATTUNE_ATTEMPT.end" ]; do sleep 0.02; done
echo "attempt $ATTUNE_ATTEMPT ends"
[ "$ATTUNE_ATTEMPT" = 3 ]
`

// TestFollowedLogGoesOnWhereItWasCut cuts the connection of a follower where an action writes, where it is silent, and
// between its attempts.
func TestFollowedLogGoesOnWhereItWasCut(t *testing.T) {
	t.Parallel()
	c := newCutting(t)
	c.install("cut", steps)
	id := c.submit(client.Submission{Action: "cut.run"})
	log := c.follow(t.Context(), c.Client, id)
	defer log.Close()

	var got []byte
	cuts, some := map[string]bool{}, make([]byte, 16<<10)
	for {
		n, err := log.Read(some)
		got = append(got, some[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		tail := string(got[max(0, len(got)-len(some)-40):])
		for attempt := 1; attempt <= 3; attempt++ {
			for line, release := range map[string]string{
				"line 20000": "", "line 40000": "half", "line 60000": "", "line 80000": "end", "ends": "",
			} {
				line = fmt.Sprintf("attempt %d %s\n", attempt, line)
				if cuts[line] || !strings.Contains(tail, line) || strings.HasPrefix(line, "attempt 3 ends") {
					continue
				}
				cuts[line] = true
				c.cut()
				if release != "" {
					c.release(fmt.Sprintf(".%d.%s", attempt, release))
				}
			}
		}
	}
	want := bytes.Join([][]byte{c.stored(id, 1), c.stored(id, 2), c.stored(id, 3)}, nil)
	if !bytes.Equal(got, want) || bytes.Count(want, []byte("\n")) != 3*80001 {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	if len(cuts) != 14 || c.broke < 6 || c.goesOn != c.broke { // at least where it was silent
		t.Errorf("cut %d times; the follower saw it break off %d times and go on %d times", len(cuts), c.broke, c.goesOn)
	}
}

// waits is an action that has begun and does not end by itself, but with the test.
func (c *cutting) waits() int64 {
	id := c.submit(client.Submission{Script: &client.Script{
		Name: "wait.sh", Content: `echo begun; until [ -e "$PARAM_HOLD" ]; do sleep 0.02; done; echo done`,
	}})
	c.t.Cleanup(func() {
		c.release("")
		if _, err := c.direct.WaitExecution(context.Background(), id); err != nil {
			c.t.Error(err)
		}
	})
	return id
}

// first reads the first line of waits.
func (c *cutting) first(log io.Reader) {
	c.t.Helper()
	line := make([]byte, len("begun\n"))
	if _, err := io.ReadFull(log, line); err != nil || string(line) != "begun\n" {
		c.t.Fatalf("%q %v", line, err)
	}
}

func TestFollowingEndsWithItsContextWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	c := newCutting(t)
	ctx, stop := context.WithCancelCause(t.Context())
	log := c.follow(ctx, c.Client, c.waits())
	defer log.Close()
	c.first(log)
	c.way.Cut()
	cause := errors.New("enough")
	go func() { <-c.told; stop(cause) }()
	if rest, err := io.ReadAll(log); len(rest) > 0 || !errors.Is(err, cause) {
		t.Errorf("%q %v", rest, err)
	}
}

func TestClosingEndsAReadThatWaitsForTheServer(t *testing.T) {
	t.Parallel()
	c := newCutting(t)
	log := c.follow(t.Context(), c.Client, c.waits())
	c.first(log)
	c.way.Cut()
	closed := make(chan error, 1)
	go func() { <-c.told; closed <- log.Close() }()
	if rest, err := io.ReadAll(log); len(rest) > 0 || err == nil {
		t.Errorf("%q %v", rest, err)
	}
	if err := errors.Join(<-closed, log.Close()); err != nil {
		t.Error(err)
	}
}

func TestFollowingEndsWhenTheServerRefuses(t *testing.T) {
	t.Parallel()
	c := newCutting(t)
	made, err := c.direct.CreateToken(t.Context(), client.TokenRequest{Name: "viewer", Role: attune.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	viewer := client.New(client.Config{BaseURL: c.url, Token: made.Secret})
	defer viewer.Close()
	log := c.follow(t.Context(), viewer, c.waits())
	defer log.Close()
	c.first(log)
	if err := c.direct.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	c.cut()
	if rest, err := io.ReadAll(log); len(rest) > 0 || attune.ErrorCode(err) != attune.CodeNoToken {
		t.Errorf("%q %v", rest, err)
	}
	if c.broke != 1 || c.goesOn != 0 {
		t.Errorf("it broke off %d times and went on %d times", c.broke, c.goesOn)
	}
}

// inTheWay is a network to a handler: what it does before the handler is called may fail.
type inTheWay struct {
	before func(*http.Request) error
	http.RoundTripper
}

// RoundTrip calls the handler, if nothing is in the way.
func (w inTheWay) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := w.before(r); err != nil {
		return nil, err
	}
	return w.RoundTripper.RoundTrip(r)
}

// byHand is a server whose answers a test writes, on synctest's clock.
type byHand struct {
	execution string
	busy      time.Time // until then the database is away
	asked     int       // for the execution
	logs      []func(http.ResponseWriter)
	queries   []string // of requests for a log
	away      bool     // can't be reached
}

// ServeHTTP answers with the execution, or with the next log.
func (b *byHand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, "/logs/"):
		b.queries = append(b.queries, r.URL.RawQuery)
		b.logs[min(len(b.queries), len(b.logs))-1](w)
	case time.Now().Before(b.busy):
		b.asked++
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		b.asked++
		_, _ = io.WriteString(w, b.execution)
	}
}

// read follows a log to its end.
func (b *byHand) read(t *testing.T) (text string, err error) {
	t.Helper()
	c := client.New(client.Config{Transport: inTheWay{RoundTripper: client.InProcess(b), before: func(*http.Request) error {
		if b.away {
			return errors.New("refused")
		}
		return nil
	}}})
	log, err := c.Logs(t.Context(), 1, attune.Stdout, client.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	got, err := io.ReadAll(log)
	return string(got), err
}

const (
	runs      = `{"id":1,"status":"running","attempt":1,"started_at":"2026-01-01T00:00:00Z"}`
	completes = `{"id":1,"status":"completed","attempt":1,"started_at":"2026-01-01T00:00:00Z"}`
	waits     = `{"id":1,"status":"requested","attempt":2}`
	isGivenUp = `{"id":1,"status":"cancelled","attempt":2}`
)

// breaksOff writes a part of an answer.
func breaksOff(w http.ResponseWriter, text string) {
	_, _ = io.WriteString(w, text)
	panic(http.ErrAbortHandler)
}

func TestFollowerAsksForWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &byHand{execution: runs}
		b.logs = []func(http.ResponseWriter){
			func(w http.ResponseWriter) { // a proxy ends it as if it were whole; and then the database is away for five minutes
				_, _ = io.WriteString(w, "ab")
				b.busy = time.Now().Add(5 * time.Minute)
			},
			func(w http.ResponseWriter) { breaksOff(w, "c") },
			func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
			func(w http.ResponseWriter) { _, _ = io.WriteString(w, "d"); b.execution = waits },
			func(w http.ResponseWriter) { b.execution = isGivenUp; w.WriteHeader(http.StatusNotFound) },
		}
		begun := time.Now()
		text, err := b.read(t)
		const want = "attempt=1&follow=1 attempt=1&follow=1&offset=2 attempt=1&follow=1&offset=3 attempt=1&follow=1&offset=3 attempt=2&follow=1"
		if got := strings.Join(b.queries, " "); text != "abcd" || err != nil || got != want {
			t.Errorf("%q %v after %s", text, err, got)
		}
		if took := time.Since(begun); took < 5*time.Minute || took > 6*time.Minute || b.asked > 30 {
			t.Errorf("it took %v, and the server was asked %d times", took, b.asked)
		}
	})
}

func TestFollowingGivesUpAfterAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &byHand{execution: runs}
		b.logs = []func(http.ResponseWriter){func(w http.ResponseWriter) { b.away = true; breaksOff(w, "x") }}
		begun := time.Now()
		text, err := b.read(t)
		took := time.Since(begun)
		if text != "x" || attune.ErrorCode(err) != attune.CodeUnavailable || took < time.Minute || took > 70*time.Second {
			t.Errorf("%q %v after %v", text, err, took)
		}
	})
}

func TestLogThatCannotBeReadIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &byHand{execution: completes}
		b.logs = []func(http.ResponseWriter){
			func(w http.ResponseWriter) { breaksOff(w, "x") }, func(w http.ResponseWriter) { breaksOff(w, "") },
		}
		text, err := b.read(t)
		if text != "x" || !errors.Is(err, io.ErrUnexpectedEOF) || len(b.queries) != 5 {
			t.Errorf("%q %v, asked %d times", text, err, len(b.queries))
		}
	})
}
