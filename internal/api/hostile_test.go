package api_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// TestNothingOfARequestBecomesAHeader puts line breaks, encoded in each way, wherever an operation takes something.
func TestNothingOfARequestBecomesAHeader(t *testing.T) {
	t.Parallel()
	s, operations := newServerOn(t, storetest.SQLite(t))
	s.echo()
	for _, value := range []string{"%0d%0aX-Evil:%201", "%0aX-Evil:%201", "%E5%98%8D%E5%98%8AX-Evil:%201"} {
		targets := []string{
			"GET /login?next=/" + value, "GET /login?next=" + value, "POST /login?next=/" + value, "GET /executions?x=" + value, "GET /" + value, "GET /docs?" + value,
		}
		for _, o := range documented(t, operations) {
			if o.path == "/api/v1/events" {
				continue // it goes on for ever
			}
			targets = append(targets, o.method+" "+o.target("", "")+"?x="+value)
			for _, p := range o.Parameters {
				targets = append(targets, o.method+" "+o.target(p.Name, value), o.method+" "+o.target("", "")+"?"+p.Name+"="+value)
			}
		}
		for _, target := range targets {
			method, path, _ := strings.Cut(target, " ")
			answer, _ := s.browse(method, path, url.Values{"token": {token}}, "Authorization", "Bearer "+token)
			if answer.StatusCode == http.StatusInternalServerError || answer.Header.Get("X-Evil") != "" || strings.ContainsAny(fmt.Sprint(answer.Header), "\r\n") {
				t.Errorf("%s: %d %v", target, answer.StatusCode, answer.Header)
			}
			if to := answer.Header.Get("Location"); to != "" && !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
				t.Errorf("%s leads to %q", target, to)
			}
		}
	}
}

// TestNoOtherOriginIsTold asks as a page of another origin would.
func TestNoOtherOriginIsTold(t *testing.T) {
	t.Parallel()
	s, operations := newServerOn(t, storetest.SQLite(t))
	for _, o := range documented(t, operations) {
		if o.path == "/api/v1/events" {
			continue
		}
		for _, method := range []string{o.method, http.MethodOptions} {
			answer, _ := s.browse(method, o.target("", ""), nil, "Authorization", "Bearer "+token, "Origin", "https://evil.example",
				"Access-Control-Request-Method", o.method, "Access-Control-Request-Headers", "authorization")
			for name := range answer.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s: %s: %v", method, o.path, name, answer.Header[name])
				}
			}
			if method == http.MethodOptions && answer.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("OPTIONS %s: %d", o.path, answer.StatusCode)
			}
		}
	}
}

// TestNoNameLeadsOutOfTheArtifacts asks for files beside them, in every writing.
func TestNoNameLeadsOutOfTheArtifacts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.echo().ID
	fence := s.begin(id)
	files := s.files(id, 1)
	s.write(files, attune.Stdout, "hi\n")
	s.finish(fence, completed)
	const secret = "hunter2-hunter2"
	for _, place := range []string{s.artifacts, filepath.Join(s.artifacts, "w1"), filepath.Join(s.artifacts, "w1", fmt.Sprint("execution_", id))} {
		if err := os.WriteFile(filepath.Join(place, "secret"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(s.artifacts, "secret"), filepath.Join(place, "link")); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(s.artifacts, "secret")
	for _, name := range []string{
		"../secret", "..%2fsecret", "%2e%2e%2fsecret", "%2e%2e/secret", "..%5csecret", `..\secret`, "%252e%252e%252fsecret", "....//secret", "files/../../secret",
		"files%2f..%2f..%2fsecret", "stdout.log/../../secret", "..%00/secret", "../secret%00.log", "..;/secret", "%c0%ae%c0%ae/secret", "%ef%bc%8e%ef%bc%8e/secret",
		outside, url.PathEscape(outside), "%2f" + outside, "link", "files/link", "../link", ".", "..", "", "/", "%2f", "secret%00", "file:%2f%2f" + outside,
	} {
		for _, kind := range []string{"artifacts", "logs"} {
			status, text := s.send(http.MethodGet, fmt.Sprintf("/api/v1/executions/%d/%s/%s", id, kind, name), "")
			if strings.Contains(text, secret) || status != 404 && status != 422 && (status != 200 || kind != "artifacts" || name != "") {
				t.Errorf("%s/%s: %d %s", kind, name, status, text)
			}
		}
	}
}

// TestHostileArchivesAreRefusedByTheAPI are those whose size is a lie; internal/pack has the others.
func TestHostileArchivesAreRefusedByTheAPI(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	packed := func(files func(*tar.Writer)) []byte {
		var text bytes.Buffer
		compressed := gzip.NewWriter(&text)
		w := tar.NewWriter(compressed)
		files(w)
		_ = w.Close() // what is announced may not be there
		_ = compressed.Close()
		return text.Bytes()
	}
	one := func(h tar.Header, text string) []byte {
		return packed(func(w *tar.Writer) {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(w, text)
		})
	}
	zeros := packed(func(w *tar.Writer) {
		_ = w.WriteHeader(&tar.Header{Name: "x", Mode: 0o644, Size: 4 << 30})
		_, _ = io.CopyN(w, zero{}, 96<<20)
	})
	for name, archive := range map[string][]byte{
		"96 MiB in 96 KiB": zeros, "twice compressed": twice(zeros), "more announced than there": one(tar.Header{Name: "x", Size: 1 << 40}, "x"),
		"negative size":    bytes.Replace(one(tar.Header{Name: "x", Size: 1}, "x"), []byte("x"), []byte("\xff"), 1),
		"deep":             one(tar.Header{Name: strings.Repeat("a/", 5000) + "x", Size: 1}, "x"),
		"deep and short":   one(tar.Header{Name: strings.Repeat("a/", 110) + "x", Size: 1}, "x"),
		"character device": one(tar.Header{Name: "x", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""),
		"link out":         one(tar.Header{Name: "actions", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, ""),
		"sparse":           one(tar.Header{Name: "x", Typeflag: tar.TypeGNUSparse, Format: tar.FormatUnknown}, ""),
		"zip":              []byte("PK\x03\x04"), "half a header": {0x1f, 0x8b, 8}, "no end": zeros[:len(zeros)/2],
	} {
		begun := time.Now()
		status, text := s.send(http.MethodPost, "/api/v1/packs", string(archive))
		if status != 422 || time.Since(begun) > 20*time.Second {
			t.Errorf("%s: %d %s after %v", name, status, text, time.Since(begun))
		}
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func twice(archive []byte) []byte {
	var text bytes.Buffer
	w := gzip.NewWriter(&text)
	_, _ = w.Write(archive)
	_ = w.Close()
	return text.Bytes()
}

// TestFloodsEnd sends bodies as fast as they are taken, in chunks that have no end.
func TestFloodsEnd(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("[", 64<<10))
	for head, want := range map[string][]int{
		"POST /api/v1/executions":       {413},
		"POST /api/v1/packs":            {413},
		"PUT /api/v1/keys/k":            {413},
		"POST /api/v1/tokens":           {413},
		"GET /api/v1/version":           {413},
		"POST /api/v1/keys/rotate":      {200},
		"POST /nowhere":                 {404},
		"POST /login":                   {422, 401, 413},
		"POST /api/v1/workers/w1/drain": {200},
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
		ended := make(chan int64)
		go func() {
			var sent int64
			_, err := fmt.Fprintf(connection, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", head, token)
			for err == nil {
				var n int
				n, err = io.WriteString(connection, chunk)
				sent += int64(n)
			}
			ended <- sent
		}()
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		sent := <-ended
		_ = connection.Close()
		status := 0 // the connection was closed under what was still sent
		if err == nil {
			status = answer.StatusCode
		}
		if status != 0 && !strings.Contains(fmt.Sprint(want), fmt.Sprint(status)) || sent > 64<<20 {
			t.Errorf("%s: %d after %d bytes, %v", head, status, sent, err)
		}
	}
}

// TestNoValueForgesALineOfTheLog lets what users choose into the log, in the form that terminals get.
func TestNoValueForgesALineOfTheLog(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const forged = "%0alevel=ERROR msg=forged%1b[2J%c2%9b31m%e2%80%ae"
	for _, path := range []string{
		"/api/v1/executions/" + strings.ReplaceAll(forged, " ", "%20"), "/" + strings.ReplaceAll(forged, " ", "%20"),
		"/api/v1/keys/k?pack=" + strings.ReplaceAll(forged, " ", "+"), "/api/v1/workers/" + strings.ReplaceAll(forged, " ", "%20") + "/cordon",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			_, _ = s.send(method, path, "")
		}
	}
	for _, body := range []string{
		`{"name":"a\nlevel=ERROR msg=forged","role":"viewer"}`, `{"name":"\u001b[2J\u009b31m\u202e","role":"viewer"}`, `{"name":"ok","role":"viewer"}`,
	} {
		_, _ = s.send(http.MethodPost, "/api/v1/tokens", body)
	}
	_, _ = s.send(http.MethodPost, "/api/v1/executions", `{"script":{"name":"a\nlevel=ERROR msg=forged.sh","content":""}}`)
	if err := s.store.Close(); err != nil { // from now on all is our own fault, and logged
		t.Fatal(err)
	}
	_, _ = s.send(http.MethodGet, "/api/v1/workers/"+strings.ReplaceAll(forged, " ", "%20"), "")
	if logged.Len() == 0 {
		t.Error("nothing was logged")
	}
	for line := range strings.Lines(logged.String()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\n\r\x1b\u009b\u202e") {
			t.Errorf("%q", line)
		}
	}
}
