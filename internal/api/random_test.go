package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

const (
	answerLimit = 5 * time.Second        // in which any answer must have come
	streamTaste = 100 * time.Millisecond // how long a stream is read
	mendEvery   = 200                    // requests, after which workers and tokens are what they were
)

// TestAnyRequestIsAnsweredAsTheDocumentHasIt sends good, odd and broken requests to every operation of the OpenAPI
// document, and holds the answers against it. ATTUNE_REQUESTS_TIME (6s) is for how long, ATTUNE_REQUESTS_SEED repeats
// what a failure tells.
func TestAnyRequestIsAnsweredAsTheDocumentHasIt(t *testing.T) {
	t.Parallel()
	lasts := 6 * time.Second
	if text := os.Getenv("ATTUNE_REQUESTS_TIME"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("ATTUNE_REQUESTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		t.Logf("ATTUNE_REQUESTS_SEED=%d", seed)
		newStranger(t, db, seed).run(lasts)
	})
}

// stranger knows a server by its document alone.
type stranger struct {
	*generator
	t      *testing.T
	server *server
	logged *bytes.Buffer // what the server says of errors of its own
	actors []*actor
	seen   map[string]int // answers, by operation and status
}

// actor is somebody who calls.
type actor struct {
	name   string
	secret string
	id     int64
	known  bool                // else: 401, whatever is asked
	ask    client.TokenRequest // to make the token anew
}

func newStranger(t *testing.T, db storetest.Database, seed uint64) *stranger {
	t.Helper()
	logged := &bytes.Buffer{}
	s, operations := newServerOn(t, db, func(c *api.Config) {
		c.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelError}))
		c.Metrics = func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "up 1\n"); return err }
	})
	serveEvents(t, operations)
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), contract: readContract(t, s), newest: map[string]int{"id": 1}}
	r := &stranger{generator: g, t: t, server: s, logged: logged, seen: map[string]int{}}
	r.archive = archiveOf(t, map[string]string{
		"pack.yaml": "ref: demo\nversion: 1.0.0\n", "actions/go.yaml": "ref: demo.go\nrunner_type: shell\nentry_point: go.sh\n",
		"actions/go.sh": "echo hi\n",
	})
	if _, err := s.InstallPack(t.Context(), bytes.NewReader(r.archive)); err != nil {
		t.Fatal(err)
	}
	r.fill()
	r.actors = []*actor{
		{name: "admin", known: true, secret: token}, {name: "admin", known: true, secret: token}, {name: "admin", known: true, secret: token},
		{name: "operator", known: true, ask: client.TokenRequest{Role: attune.RoleOperator}},
		{name: "viewer", known: true, ask: client.TokenRequest{Role: attune.RoleViewer}},
		{name: "admin of demo", known: true, ask: client.TokenRequest{Role: attune.RoleAdmin, Packs: []string{"demo"}}},
		{name: "revoked", ask: client.TokenRequest{Role: attune.RoleAdmin}}, {name: "expired", ask: client.TokenRequest{Role: attune.RoleAdmin, Expires: time.Microsecond}},
		{name: "nobody"},
	}
	for _, a := range r.actors {
		r.admit(a)
	}
	return r
}

// serveEvents has the API hear what the broker brings.
func serveEvents(t *testing.T, operations *api.API) {
	t.Helper()
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- operations.Run(ctx) }()
	t.Cleanup(func() {
		stop(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// fill makes executions in several states, one with logs and artifacts, and a key.
func (r *stranger) fill() {
	r.t.Helper()
	s := r.server
	done := s.echo()
	fence := s.begin(done.ID)
	files := s.files(done.ID, 1)
	s.write(files, attune.Stdout, "hi\n")
	s.finish(fence, completed, attune.Artifact{Name: "stdout.log", Type: attune.ArtifactLog, Bytes: 3})
	s.begin(s.echo().ID)
	s.echo()
	if _, err := s.SetKey(r.t.Context(), attune.KeyID{Owner: attune.OwnerSystem, Name: "k"}, []byte("hunter2-hunter2"), false); err != nil {
		r.t.Fatal(err)
	}
	r.newest["id"] = 3
}

// admit gives an actor a token, unless it has one that is good.
func (r *stranger) admit(a *actor) {
	r.t.Helper()
	if a.ask.Role == "" || a.id != 0 {
		return
	}
	a.ask.Name = a.name
	made, err := r.server.CreateToken(r.t.Context(), a.ask)
	if err != nil {
		r.t.Fatal(err)
	}
	a.secret, a.id = made.Secret, made.ID
	if a.name == "revoked" {
		if err := r.server.RevokeToken(r.t.Context(), a.id); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *stranger) run(lasts time.Duration) {
	r.t.Helper()
	wire := &wire{address: strings.TrimPrefix(r.server.url, "http://")}
	defer wire.close()
	n := 0
	for end := time.Now().Add(lasts); time.Now().Before(end) && !r.t.Failed(); n++ {
		if n%mendEvery == 0 {
			r.mend()
		}
		o := &r.contract.operations[r.IntN(len(r.contract.operations))]
		a := r.actors[r.IntN(len(r.actors))]
		request := r.next(o)
		if a.secret != "" {
			request.header = append(request.header, [2]string{"Authorization", "Bearer " + a.secret})
		}
		begun := time.Now()
		answer, body, err := wire.exchange(request)
		if err == nil {
			err = r.judge(a, request, answer, body)
		}
		if since := time.Since(begun); since > answerLimit {
			err = errors.Join(err, fmt.Errorf("it took %v", since))
		}
		if err != nil {
			r.t.Errorf("%s: %s\n%v\n%.2000s\n%s", a.name, request, err, body, r.logged)
		}
	}
	good := 0
	for _, o := range r.contract.operations {
		for status := range o.responses {
			if status[0] == '2' && r.seen[o.ID+" "+status] > 0 {
				good++
			}
		}
	}
	r.t.Logf("%d requests, %d of %d operations have succeeded", n, good, len(r.contract.operations))
	if enough := n > 1000; enough && good < len(r.contract.operations)*3/4 {
		r.t.Errorf("the requests are too odd to reach what stands behind: %v", r.seen)
	}
}

// mend lifts a drain, and makes tokens anew that were revoked.
func (r *stranger) mend() {
	r.t.Helper()
	storetest.Worker(r.t, r.server.store, "w1", 2)
	tokens, err := r.server.Tokens(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range r.actors {
		gone := true
		for _, one := range tokens {
			gone = gone && one.ID != a.id
		}
		if gone && a.known {
			a.id = 0
			r.admit(a)
		}
	}
}

// judge holds an answer against the document. A nil answer is a stream or a wait that was left.
func (r *stranger) judge(a *actor, request attempt, answer *http.Response, body []byte) error {
	if answer == nil {
		if request.missing > 0 || waits(request.target) {
			return nil
		}
		return errors.New("no answer")
	}
	o, elsewhere := r.contract.route(request.method, request.target)
	name := "nowhere"
	if o != nil {
		name = o.ID
	}
	r.seen[fmt.Sprint(name, " ", answer.StatusCode)]++
	r.note(answer, o, body)
	path, _, _ := strings.Cut(request.target, "?")
	guarded := path != "/healthz" && path != "/readyz" // whatever the method
	switch {
	case answer.StatusCode == http.StatusInternalServerError:
		return errors.New("a fault of ours")
	case guarded && (answer.StatusCode == http.StatusUnauthorized) != !a.known && !r.revoked(a):
		return fmt.Errorf("%d for %s", answer.StatusCode, a.name)
	case o != nil:
		return r.contract.check(o, request.method, answer, body)
	case !strings.HasPrefix(path, "/api/") && strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html"):
		return nil // a page for people
	case !strings.HasPrefix(path, "/api/") && answer.StatusCode == http.StatusMethodNotAllowed:
		return r.problem(request, answer, body) // of a page
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusNotFound && !elsewhere,
		answer.StatusCode == http.StatusMethodNotAllowed && elsewhere && answer.Header.Get("Allow") != "":
		return r.problem(request, answer, body)
	}
	return fmt.Errorf("%d to Location %q where the document has nothing", answer.StatusCode, answer.Header.Get("Location"))
}

// revoked tells whether a token has gone by one of our own requests, until it is mended.
func (r *stranger) revoked(a *actor) bool { return a.known && a.id != 0 && r.gone(a.id) }

func (r *stranger) gone(id int64) bool {
	tokens, err := r.server.Tokens(r.t.Context())
	for _, one := range tokens {
		if one.ID == id {
			return false
		}
	}
	return err == nil
}

// problem checks an answer that is of no operation.
func (r *stranger) problem(request attempt, answer *http.Response, body []byte) error {
	if kind := answer.Header.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("an error of type %q", kind)
	}
	if request.method == http.MethodHead {
		return nil
	}
	return r.contract.valid("#/components/schemas/ErrorModel", body)
}

// note remembers the ids of what was made, so that later requests find it.
func (r *stranger) note(answer *http.Response, o *promise, body []byte) {
	var made struct{ ID int }
	if o != nil && answer.StatusCode == http.StatusCreated && json.Unmarshal(body, &made) == nil {
		r.newest["id"] = max(r.newest["id"], made.ID)
	}
}

// waits tells whether a request may wait for something that happens to an execution.
func waits(target string) bool {
	path, raw, _ := strings.Cut(target, "?")
	query, _ := url.ParseQuery(raw)
	return strings.HasSuffix(path, "/events") || query.Has("wait") || query.Has("follow")
}

// wire is a connection to a server, on which a request may be anything.
type wire struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// exchange sends a request and returns its answer. Of a stream it reads what comes in a moment; what has not answered by
// then has no answer.
func (w *wire) exchange(a attempt) (*http.Response, []byte, error) {
	if w.conn == nil {
		conn, err := net.Dial("tcp", w.address)
		if err != nil {
			return nil, nil, err
		}
		w.conn, w.reader = conn, bufio.NewReader(conn)
	}
	limit := answerLimit + time.Second
	if waits(a.target) {
		limit = streamTaste
	}
	_ = w.conn.SetDeadline(time.Now().Add(limit))
	// A server may answer before it has read a body, and close: that is no fault.
	_, _ = w.conn.Write(a.wire())
	if a.missing > 0 {
		_ = w.conn.(*net.TCPConn).CloseWrite()
	}
	answer, err := http.ReadResponse(w.reader, &http.Request{Method: a.method})
	if err != nil {
		w.close()
		timeout := net.Error(nil)
		if waits(a.target) && errors.As(err, &timeout) && timeout.Timeout() || a.missing > 0 || len(a.body) > 1<<20 {
			return nil, nil, nil
		}
		return nil, nil, fmt.Errorf("no answer: %w", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Close || a.missing > 0 || waits(a.target) {
		w.close()
	}
	if waits(a.target) {
		err = nil
	}
	return answer, body, err
}

func (a attempt) wire() []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: x\r\n", a.method, a.target)
	for _, h := range a.header {
		fmt.Fprintf(&text, "%s: %s\r\n", h[0], h[1])
	}
	if !a.chunked {
		fmt.Fprintf(&text, "Content-Length: %d\r\n\r\n%s", len(a.body)+a.missing, a.body)
		return text.Bytes()
	}
	text.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	if len(a.body) > 0 {
		fmt.Fprintf(&text, "%x\r\n%s\r\n", len(a.body), a.body)
	}
	if a.missing == 0 {
		text.WriteString("0\r\n\r\n")
	}
	return text.Bytes()
}
