package api_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

func TestLogsAreByteForByte(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	if _, err := s.log(e.ID, client.LogOptions{}); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Errorf("the log of a waiting one: %v", err)
	}
	fence := s.begin(e.ID)
	if text, err := s.log(e.ID, client.LogOptions{}); text != "" || err != nil {
		t.Errorf("the log of one that has just begun: %q %v", text, err)
	}
	const bytes = "a\x00b\xff\xfe\r\n<script>"
	s.write(s.files(e.ID, 1), attune.Stdout, bytes)
	s.finish(fence, completed)
	if text, err := s.log(e.ID, client.LogOptions{}); text != bytes || err != nil {
		t.Errorf("%q %v", text, err)
	}
	if text, err := s.log(e.ID, client.LogOptions{Offset: 3, Follow: true}); text != bytes[3:] || err != nil {
		t.Errorf("from 3 on: %q %v", text, err)
	}
	if text, err := s.log(e.ID, client.LogOptions{Offset: 1000}); text != "" || err != nil {
		t.Errorf("past the end: %q %v", text, err)
	}
	if _, err := s.log(e.ID, client.LogOptions{Attempt: 2}); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Errorf("an attempt that never was: %v", err)
	}
}

func TestFollowedLogComesAsItIsWritten(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	type opened struct {
		body io.ReadCloser
		err  error
	}
	follower := make(chan opened, 1)
	go func() {
		body, err := s.Logs(t.Context(), e.ID, attune.Stdout, client.LogOptions{Follow: true})
		follower <- opened{body, err}
	}()
	fence := s.begin(e.ID)
	log := <-follower
	if log.err != nil {
		t.Fatal(log.err)
	}
	defer log.body.Close()
	files := s.files(e.ID, 1)
	for _, piece := range []string{"one ", "two ", "three"} {
		s.write(files, attune.Stdout, piece)
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(log.body, got); err != nil || string(got) != piece {
			t.Fatalf("%q %v", got, err)
		}
	}
	s.write(files, attune.Stdout, "\nlast")
	s.finish(fence, completed)
	if rest, err := io.ReadAll(log.body); string(rest) != "\nlast" || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

// retried submits an execution whose first attempt has failed.
func retried(s *server) (attune.Execution, *client.Client) {
	s.t.Helper()
	e := s.submit(client.Submission{Action: "demo.twice"})
	fence := s.begin(e.ID)
	first := s.files(e.ID, 1)
	s.write(first, attune.Stdout, "first\n")
	if err := os.WriteFile(filepath.Join(first.FilesDir(), "only-first.txt"), []byte("1"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	left, err := first.List()
	if err != nil {
		s.t.Fatal(err)
	}
	s.finish(fence, failed, left.Artifacts...)
	return e, s.Client
}

func newRetryServer(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	s.install("demo", map[string]string{
		"pack.yaml":          "ref: demo\nversion: 1.0.0\nlabel: Demo\n",
		"actions/twice.yaml": "ref: demo.twice\nrunner_type: shell\nentry_point: twice.sh\nretry: {max_attempts: 2}\n",
		"actions/twice.sh":   "false\n",
	})
	return s
}

func TestFollowedLogGoesOnWithTheNextAttempt(t *testing.T) {
	t.Parallel()
	s := newRetryServer(t)
	e, _ := retried(s)
	texts := make(chan string, 1)
	go func() {
		text, err := s.log(e.ID, client.LogOptions{Follow: true, Attempt: 0})
		if err != nil {
			t.Error(err)
		}
		texts <- text
	}()
	fence := s.begin(e.ID)
	s.write(s.files(e.ID, 2), attune.Stdout, "second\n")
	s.finish(fence, completed)
	// The follower may have come while the first attempt was the latest, or after the second one began.
	if text := <-texts; text != "first\nsecond\n" && text != "second\n" {
		t.Errorf("%q", text)
	}
	for attempt, want := range map[int]string{0: "second\n", 1: "first\n", 2: "second\n"} {
		for _, follow := range []bool{false, true} {
			if text, err := s.log(e.ID, client.LogOptions{Attempt: attempt, Follow: follow}); text != want || err != nil {
				t.Errorf("attempt %d, follow %v: %q %v", attempt, follow, text, err)
			}
		}
	}
}

func TestArtifactsOfEveryAttempt(t *testing.T) {
	t.Parallel()
	s := newRetryServer(t)
	e, _ := retried(s)
	fence := s.begin(e.ID)
	second := s.files(e.ID, 2)
	s.write(second, attune.Stdout, "second\n")
	if err := os.MkdirAll(filepath.Join(second.FilesDir(), "sub dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second.FilesDir(), "sub dir", "a+b#c.txt"), []byte("x\x00y"), 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := s.Artifacts(t.Context(), e.ID)
	if err != nil || len(live) != 4 {
		t.Errorf("while it runs: %+v %v", live, err)
	}
	left, err := second.List()
	if err != nil {
		t.Fatal(err)
	}
	s.finish(fence, completed, left.Artifacts...)
	all, err := s.Artifacts(t.Context(), e.ID)
	if err != nil || len(all) != 4 {
		t.Errorf("%+v %v", all, err)
	}
	for _, test := range []struct {
		name    string
		attempt int
		want    string
	}{
		{"stdout.log", 0, "second\n"}, {"stdout.log", 1, "first\n"}, {"files/only-first.txt", 0, "1"},
		{"files/sub dir/a+b#c.txt", 0, "x\x00y"},
	} {
		if got, err := s.artifact(e.ID, test.name, test.attempt); got != test.want || err != nil {
			t.Errorf("%s of attempt %d: %q %v", test.name, test.attempt, got, err)
		}
	}
	for _, name := range []string{"nope", "files/only-first.txt/x", "files"} {
		if _, err := s.artifact(e.ID, name, 0); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (s *server) artifact(id int64, name string, attempt int) (string, error) {
	body, err := s.OpenArtifact(s.t.Context(), id, name, attempt)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

func TestArtifactNamesLeadNowhereElse(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.echo()
	fence := s.begin(e.ID)
	files := s.files(e.ID, 1)
	secret := filepath.Join(s.artifacts, "secret.txt")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(files.FilesDir(), "link")); err != nil {
		t.Fatal(err)
	}
	s.finish(fence, completed)
	for _, path := range []string{
		"files/link", "../../secret.txt", "..%2f..%2fsecret.txt", "files/../../../secret.txt", "%2e%2e/%2e%2e/secret.txt",
		"files/%2e%2e/%2e%2e/%2e%2e/secret.txt", "/etc/passwd", "%2fetc%2fpasswd",
	} {
		status, body := s.send("GET", "/api/v1/executions/1/artifacts/"+path, "")
		if status != 404 && status != 301 && status != 307 || strings.Contains(body, "hunter2") || strings.Contains(body, "root:") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := s.send("GET", "/api/v1/executions/1/artifacts", ""); status != 200 || !json.Valid([]byte(body)) {
		t.Errorf("%d %s", status, body)
	}
}
