package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// stream opens a stream and returns its body when its beginning has come.
func (s *server) stream(path, secret string) io.ReadCloser {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 200 {
		s.t.Fatalf("%+v %v", answer, err)
	}
	if _, err := answer.Body.Read(make([]byte, 4)); err != nil {
		s.t.Fatal(err)
	}
	return answer.Body
}

// drain reads a stream until the server ends it.
func drain(t *testing.T, what string, body io.ReadCloser) error {
	t.Helper()
	defer body.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, body)
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Errorf("%s goes on", what)
		body.Close()
		<-ended
	}
	return nil
}

// TestStreamsEndWithTheirToken revokes the tokens of streams that have begun, and lets others expire.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db, func(c *api.Config) { c.RecheckTime = 50 * time.Millisecond })
		t.Cleanup(http.DefaultClient.CloseIdleConnections)
		ctx := context.Background()
		e := s.echo()
		fence := s.begin(e.ID)
		s.write(s.files(e.ID, 1), attune.Stdout, "some\n")
		log := "/api/v1/executions/" + strconv.FormatInt(e.ID, 10) + "/logs/stdout?follow=1"
		_, revoked := s.as(client.TokenRequest{Role: attune.RoleViewer})
		_, expiring := s.as(client.TokenRequest{Role: attune.RoleViewer, Expires: time.Hour})
		_, stays := s.as(client.TokenRequest{Role: attune.RoleViewer})
		own := s.tokenOf(fence)
		kept := s.stream(log, stays.Secret)
		streams := map[string]io.ReadCloser{
			"the log of one who is revoked": s.stream(log, revoked.Secret), "the events of one who is revoked": s.stream("/api/v1/events", revoked.Secret),
			"the log of one who expires": s.stream(log, expiring.Secret), "the events of one who expires": s.stream("/api/v1/events", expiring.Secret),
		}
		waiting := make(chan error, 1)
		waiter := client.New(client.Config{BaseURL: s.url, Token: revoked.Secret})
		defer waiter.Close()
		go func() {
			_, err := waiter.WaitExecution(ctx, e.ID)
			waiting <- err
		}()
		if err := s.RevokeToken(ctx, revoked.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Raw(t).ExecContext(ctx, "UPDATE token SET expires_at = created_at + 1 WHERE id = $1", expiring.ID); err != nil {
			t.Fatal(err)
		}
		for what, body := range streams {
			if err := drain(t, what, body); err == nil && what[:7] == "the log" {
				t.Errorf("%s ends as if it were whole", what)
			}
		}
		if err := <-waiting; attune.ErrorCode(err) != attune.CodeNoToken {
			t.Errorf("who waits: %v", err)
		}
		itself := s.stream(log, own)
		s.finish(fence, completed)
		if err := drain(t, "the log of one who stays", kept); err != nil {
			t.Errorf("who stays: %v", err)
		}
		// Its own token ends with it: what it reads then may be broken off, or not.
		if err := drain(t, "its own log", itself); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}
