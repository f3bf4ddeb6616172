package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestPacksHaveETags(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		for _, path := range []string{"/api/v1/packs", "/api/v1/packs/core"} {
			get := func(has string) (int, string, string) {
				request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Authorization", "Bearer "+token)
				request.Header.Set("If-None-Match", has)
				answer, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				body, err := io.ReadAll(answer.Body)
				if err != nil {
					t.Fatal(err)
				}
				return answer.StatusCode, answer.Header.Get("ETag"), string(body)
			}
			status, tag, body := get("")
			if status != 200 || len(tag) < 10 || !strings.Contains(body, `"core"`) {
				t.Errorf("%s: %d %q %s", path, status, tag, body)
			}
			for has, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "x" + tag: 200} {
				if status, again, body := get(has); status != want || again != tag || (body == "") != (want == 304) {
					t.Errorf("%s with %s: %d %q %q", path, has, status, again, body)
				}
			}
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
}

func TestNoMoreWaitThanMay(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db, func(c *api.Config) { c.MaxWaiting = 3 })
		first := s.submit(client.Submission{Action: "core.noop", IdempotencyKey: "k"})
		s.echo()
		s.echo()
		_, err := s.Submit(t.Context(), client.Submission{Action: "core.noop"})
		if attune.ErrorCode(err) != attune.CodeUnavailable || !strings.Contains(err.Error(), "server.max_waiting") {
			t.Errorf("a fourth: %v", err)
		}
		s.wantProblem(http.MethodPost, "/api/v1/executions", `{"action":"core.noop"}`, 429, "3 executions wait already")
		s.wantProblem(http.MethodPost, fmt.Sprintf("/api/v1/executions/%d/rerun", first.ID), "", 429, "3 executions wait already")
		if again := s.submit(client.Submission{Action: "core.noop", IdempotencyKey: "k"}); again.ID != first.ID {
			t.Errorf("a repetition is execution %d, not %d", again.ID, first.ID)
		}
		s.begin(first.ID) // and there is room, as soon as it is looked at again
		if e, err := s.Submit(t.Context(), client.Submission{Action: "core.noop", IdempotencyKey: "next"}); err != nil || e.ID == first.ID {
			t.Errorf("the client has not waited for room: %v", err)
		}
	})
}

// drip sends a request whose body has no end, a byte at a time, until the server closes the connection, and returns
// the answer's status, 0 for none.
func drip(t *testing.T, url, head string) int {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	defer func() { stop(nil); <-ended }()
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		_, err := io.WriteString(connection, head+"\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
		for err == nil {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, err = io.WriteString(connection, " ")
			}
		}
	}()
	_ = connection.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		if wait := net.Error(nil); errors.As(err, &wait) && wait.Timeout() {
			t.Errorf("%s: the server still reads", head)
		}
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

func TestBodiesWithoutEndEnd(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.BodyTime = 500 * time.Millisecond })
	e := s.echo()
	bearer := "\r\nAuthorization: Bearer " + token
	for head, want := range map[string]int{
		"POST /api/v1/executions HTTP/1.1" + bearer:                              408,
		"POST /api/v1/executions HTTP/1.1":                                       401,
		"GET /api/v1/executions HTTP/1.1" + bearer:                               408,
		fmt.Sprintf("POST /api/v1/executions/%d/cancel HTTP/1.1", e.ID) + bearer: 200,
		"POST /nowhere HTTP/1.1" + bearer:                                        404,
	} {
		begun := time.Now()
		if got := drip(t, s.url, head); got != want && got != 0 || time.Since(begun) > 15*time.Second {
			t.Errorf("%.60q: %d after %v, want %d", head, got, time.Since(begun), want)
		} else {
			t.Logf("%.60q: %d after %v", head, got, time.Since(begun))
		}
	}
}

// TestDeadlineOfABodyIsNotTheAnswers has a submission wait for the database for longer than its body may take.
func TestDeadlineOfABodyIsNotTheAnswers(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	s, _ := newServerOn(t, db, func(c *api.Config) { c.BodyTime = 200 * time.Millisecond })
	held, err := db.Raw(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	time.AfterFunc(time.Second, func() {
		_, err := held.ExecContext(context.Background(), "ROLLBACK")
		released <- err
	})
	if status, body := s.send(http.MethodPost, "/api/v1/executions", `{"action":"core.noop"}`); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if err := <-released; err != nil {
		t.Error(err)
	}
}

// TestReaderThatHasGoneIsNoticed follows an execution that never begins, with a body that nobody asked for, and leaves.
func TestReaderThatHasGoneIsNoticed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	for _, path := range []string{fmt.Sprintf("/api/v1/executions/%d/logs/stdout?follow=1", e.ID), fmt.Sprintf("/api/v1/executions/%d?wait=60s", e.ID)} {
		begun, ended := make(chan struct{}), make(chan struct{})
		watched := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			defer close(ended)
			s.handler.ServeHTTP(w, r)
		}))
		connection, err := net.Dial("tcp", strings.TrimPrefix(watched.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 2\r\n\r\n{}", path, token)
		<-begun
		_ = connection.Close()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("%s is served to nobody", path)
		}
		watched.Close()
	}
}

func TestBodyThatNobodyAskedForIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if status, text := s.send(http.MethodGet, "/api/v1/version", strings.Repeat("x", 1000)); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	s.wantProblem(http.MethodGet, "/api/v1/version", strings.Repeat("x", 100_000), 413, "no body")
}

func TestPathsThatMeanAnotherAreNotFound(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	for _, path := range []string{
		"/api/v1//executions", "/api/v1/./executions", "/x/../api/v1/executions", "/api/v1/workers//drain", "/api/v1/version/.", "//", "/%2F",
		fmt.Sprintf("/api/v1/executions/%d/artifacts/..", e.ID), fmt.Sprintf("/api/v1/executions/%d/artifacts/%%2e%%2e", e.ID),
		fmt.Sprintf("/api/v1/executions/%d/artifacts/%%2e%%2e%%2f%%2e%%2e%%2f%d", e.ID, e.ID), "/x/../login", "/x/%2e%2e/login",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			s.wantProblem(method, path, "", 404, "there is nothing at")
		}
	}
	if _, err := s.Execution(t.Context(), e.ID); err != nil {
		t.Errorf("something was done to it: %v", err)
	}
}

// A path that has others below it is not theirs: files are added below artifacts, which can only be listed.
func TestMethodsThatThePathBelowHas(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	for path, allow := range map[string]string{
		fmt.Sprintf("/api/v1/executions/%d/artifacts", e.ID): "GET, HEAD", "/api/v1/executions": "GET, HEAD, POST", "/api/v1/version": "GET, HEAD",
	} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, "BREW"} {
			s.wantProblem(method, path, "", 405, method+" is not possible here, only "+allow)
		}
	}
}
