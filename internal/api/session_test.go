package api_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/web"
)

// browse makes a request as a browser would, without following redirects.
func (s *server) browse(method, path string, form url.Values, header ...string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequest(method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(text)
}

const cookie = "attune_session=" + token

func TestLoginSetsACookieThatLetsIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, test := range []struct {
		next, want string
	}{
		{"/executions?status=failed", "/executions?status=failed"}, {"", "/"}, {"//evil.example/", "/"}, {"https://evil.example/", "/"},
		{`/\evil.example`, "/"}, {"evil", "/"}, {"/\tevil", "/"}, {"/actions/core.echo", "/actions/core.echo"},
	} {
		answer, _ := s.browse(http.MethodPost, "/login", url.Values{"token": {token}, "next": {test.next}})
		if answer.StatusCode != 303 || answer.Header.Get("Location") != test.want {
			t.Errorf("next %q: %d to %q", test.next, answer.StatusCode, answer.Header.Get("Location"))
		}
		if got := answer.Header.Get("Set-Cookie"); got != cookie+"; Path=/; HttpOnly; SameSite=Strict" {
			t.Error(got)
		}
	}
	answer, _ := s.browse(http.MethodPost, "/login", url.Values{"token": {token}}, "X-Forwarded-Proto", "https")
	if !strings.Contains(answer.Header.Get("Set-Cookie"), "; Secure") {
		t.Error(answer.Header.Get("Set-Cookie"))
	}
	for _, wrong := range []string{"wrong", "", token + "x", "a b", "ä"} {
		answer, page := s.browse(http.MethodPost, "/login", url.Values{"token": {wrong}, "next": {"/keys"}})
		if answer.StatusCode != 401 || answer.Header.Get("Set-Cookie") != "" || !strings.Contains(page, "not known here") ||
			!strings.Contains(page, `value="/keys"`) {
			t.Errorf("token %q: %d %v %s", wrong, answer.StatusCode, answer.Header, page)
		}
	}
	if answer, text := s.browse(http.MethodGet, "/api/v1/executions", nil, "Cookie", cookie); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
	if answer, text := s.browse(http.MethodGet, "/api/v1/executions", nil, "Cookie", cookie+"x"); answer.StatusCode != 401 {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
	answer, _ = s.browse(http.MethodPost, "/logout", nil, "Cookie", cookie)
	if got := answer.Header.Get("Set-Cookie"); answer.StatusCode != 303 || got != "attune_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict" {
		t.Errorf("%d %s", answer.StatusCode, got)
	}
}

func TestOtherOriginsCanNotUseASession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, test := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"POST", "/api/v1/workers/w1/cordon", []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/api/v1/workers/w1/cordon", []string{"Cookie", cookie, "Sec-Fetch-Site", "same-site"}, 403},
		{"POST", "/api/v1/workers/w1/cordon", []string{"Cookie", cookie, "Origin", "https://evil.example"}, 403},
		{"DELETE", "/api/v1/packs/none", []string{"Cookie", cookie, "Origin", "null"}, 403},
		{"POST", "/login", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/logout", []string{"Sec-Fetch-Site", "cross-site", "Cookie", cookie}, 403},
		{"POST", "/api/v1/workers/w1/cordon", []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 200},
		{"POST", "/api/v1/workers/w1/uncordon", []string{"Cookie", cookie, "Origin", s.url}, 200},
		{"GET", "/api/v1/workers", []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site"}, 200},
		// A token in the header is nothing that a browser adds by itself.
		{"POST", "/api/v1/workers/w1/cordon", []string{"Authorization", "Bearer " + token, "Sec-Fetch-Site", "cross-site"}, 200},
		{"POST", "/api/v1/workers/w1/cordon", []string{"Authorization", "Bearer wrong", "Cookie", cookie}, 401},
	} {
		answer, text := s.browse(test.method, test.path, nil, test.header...)
		if answer.StatusCode != test.status {
			t.Errorf("%s %s with %v: %d %s", test.method, test.path, test.header, answer.StatusCode, text)
		}
	}
}

func TestPagesNeedASession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, path := range []string{"/", "/executions?status=failed", "/executions/7", "/actions/core.echo", "/workers", "/docs"} {
		answer, _ := s.browse(http.MethodGet, path, nil)
		if want := "/login?next=" + url.QueryEscape(path); answer.StatusCode != 303 || answer.Header.Get("Location") != want {
			t.Errorf("%s: %d to %s", path, answer.StatusCode, answer.Header.Get("Location"))
		}
		if answer, _ = s.browse(http.MethodGet, path, nil, "Cookie", cookie+"x"); answer.StatusCode != 303 {
			t.Errorf("%s with a cookie that is no longer good: %d", path, answer.StatusCode)
		}
		if answer, _ = s.browse(http.MethodGet, path, nil, "Accept", "application/json"); answer.StatusCode != 401 {
			t.Errorf("%s for a program: %d", path, answer.StatusCode)
		}
		answer, text := s.browse(http.MethodGet, path, nil, "Cookie", cookie)
		if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") || !strings.Contains(text, "<html") {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
		secured(t, path, answer.Header)
	}
	answer, text := s.browse(http.MethodGet, "/login?next=%22%3E%3Cscript%3E", nil)
	if answer.StatusCode != 200 || strings.Contains(text, "<script>") {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
	secured(t, "/login", answer.Header)
	if answer, _ = s.browse(http.MethodGet, "/ui/app.js", nil); answer.StatusCode != 200 ||
		!strings.HasPrefix(answer.Header.Get("Content-Type"), "text/javascript") || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	if answer, _ = s.browse(http.MethodGet, "/ui/app.js", nil, "If-None-Match", answer.Header.Get("ETag")); answer.StatusCode != 304 {
		t.Errorf("%d", answer.StatusCode)
	}
	for path, want := range map[string]int{"/ui/": 404, "/ui/none.js": 404, "/ui/..%2fweb.go": 401} { // the last one is no path of the pages
		if answer, _ = s.browse(http.MethodGet, path, nil); answer.StatusCode != want {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

func secured(t *testing.T, path string, header http.Header) {
	t.Helper()
	if header.Get("Content-Security-Policy") != web.Policy || header.Get("X-Content-Type-Options") != "nosniff" ||
		header.Get("Referrer-Policy") != "no-referrer" || strings.Contains(web.Policy, "unsafe") {
		t.Errorf("%s: %v", path, header)
	}
}
