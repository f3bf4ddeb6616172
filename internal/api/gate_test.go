package api_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// ask makes a request with a token and further headers, as pairs of name and value.
func (s *server) ask(method, path, secret string, headers ...string) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if secret != "" {
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	s.t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return answer
}

// refused makes requests until one is refused for coming too often, and returns how many were not.
func (s *server) refused(secret string, headers ...string) (served int, last *http.Response) {
	s.t.Helper()
	for ; served < 1000; served++ {
		if last = s.ask(http.MethodGet, "/api/v1/version", secret, headers...); last.StatusCode == http.StatusTooManyRequests {
			return served, last
		}
	}
	s.t.Error("nothing was refused")
	return served, last
}

func TestATokenIsUsedSoOftenAndNoMore(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.RateLimit = 5 })
	_, viewer := s.as(client.TokenRequest{Role: attune.RoleViewer})
	_, other := s.as(client.TokenRequest{Role: attune.RoleViewer})
	for what, secret := range map[string]string{"a token": viewer.Secret, "the local one": token} {
		served, last := s.refused(secret)
		if served < 7 || last.Header.Get("Content-Type") != "application/problem+json" { // two seconds' worth, less what was used before
			t.Errorf("%s: %d served, %v", what, served, last.Header)
		}
		if after, err := strconv.Atoi(last.Header.Get("Retry-After")); err != nil || after < 1 {
			t.Errorf("%s: Retry-After %q", what, last.Header.Get("Retry-After"))
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		for range 30 {
			if answer := s.ask(http.MethodGet, path, ""); answer.StatusCode != 200 {
				t.Fatalf("%s: %d", path, answer.StatusCode)
			}
		}
	}
	if answer := s.ask(http.MethodGet, "/api/v1/version", other.Secret); answer.StatusCode != 200 {
		t.Errorf("another token: %d", answer.StatusCode)
	}
}

// TestTokensAreNotGuessedAtSpeed tries tokens until none is looked up any more, not even one that is good; but one that was
// used before is.
func TestTokensAreNotGuessedAtSpeed(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.GuessLimit = 2 })
	_, known := s.as(client.TokenRequest{Role: attune.RoleViewer})
	_, fresh := s.as(client.TokenRequest{Role: attune.RoleViewer})
	if answer := s.ask(http.MethodGet, "/api/v1/version", known.Secret); answer.StatusCode != 200 {
		t.Fatal(answer.StatusCode)
	}
	tries := 0
	for ; tries < 100; tries++ {
		answer := s.ask(http.MethodGet, "/api/v1/version", fmt.Sprintf("attune_guess%d", tries))
		if answer.StatusCode == http.StatusTooManyRequests {
			break
		}
		if answer.StatusCode != http.StatusUnauthorized {
			t.Fatal(answer.StatusCode)
		}
	}
	if tries < 4 || tries > 40 {
		t.Errorf("%d tries", tries)
	}
	// A slow machine gives the address time: then there is no telling.
	if answer := s.ask(http.MethodGet, "/api/v1/version", fresh.Secret); answer.StatusCode != 429 && answer.StatusCode != 200 {
		t.Errorf("one that is good and was never used: %d", answer.StatusCode)
	}
	if answer := s.ask(http.MethodGet, "/api/v1/version", known.Secret); answer.StatusCode != 200 {
		t.Errorf("one that was used before: %d", answer.StatusCode)
	}
	if answer := s.ask(http.MethodGet, "/healthz", ""); answer.StatusCode != 200 {
		t.Errorf("a probe: %d", answer.StatusCode)
	}
}

// TestTokensThatAreOverAreNoGuesses has a process that outlives its execution's attention try again and again.
func TestTokensThatAreOverAreNoGuesses(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.GuessLimit = 2 })
	fence := s.begin(s.echo().ID)
	over := s.tokenOf(fence)
	s.finish(fence, completed)
	for range 20 {
		if answer := s.ask(http.MethodGet, "/api/v1/version", over); answer.StatusCode != 401 {
			t.Fatal(answer.StatusCode)
		}
	}
	_, fresh := s.as(client.TokenRequest{Role: attune.RoleViewer})
	if answer := s.ask(http.MethodGet, "/api/v1/version", fresh.Secret); answer.StatusCode != 200 {
		t.Errorf("another one from the same host: %d", answer.StatusCode)
	}
}

func TestAddressesAreWhatTheProxySays(t *testing.T) {
	t.Parallel()
	for _, proxied := range []bool{false, true} {
		s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.GuessLimit, c.BehindProxy = 2, proxied })
		exhaust := func(from string) {
			t.Helper()
			for i := range 100 {
				if s.ask(http.MethodGet, "/api/v1/version", fmt.Sprintf("attune_%s%d", from, i), "X-Forwarded-For", from).StatusCode == 429 {
					return
				}
			}
			t.Errorf("%s may try as often as it likes", from)
		}
		exhaust("1.1.1.1, 198.51.100.7") // the first one is the client's own word
		if status := s.ask(http.MethodGet, "/api/v1/version", "attune_z", "X-Forwarded-For", "1.1.1.1, 198.51.100.8").StatusCode; proxied && status != 401 {
			t.Errorf("another address behind the proxy: %d", status)
		}
		exhaust("2001:db8:1:2::3")
		exhaust("nonsense")
		if login := s.login("attune_guess", "198.51.100.9"); proxied && login != http.StatusUnauthorized {
			t.Errorf("a login from another address: %d", login)
		}
	}
}

// login logs in with a token and returns the answer's status.
func (s *server) login(secret, from string) int {
	s.t.Helper()
	form := strings.NewReader("token=" + secret)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/login", form)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Forwarded-For", from)
	status, _ := s.do(request)
	return status
}

// TestLoginsAreNoWayToGuess tries tokens in the form for logging in.
func TestLoginsAreNoWayToGuess(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.GuessLimit = 1 })
	refused := 0
	for i := range 60 {
		if s.login(fmt.Sprintf("attune_guess%d", i), "") == 429 { // which says nothing about the token
			refused++
		}
	}
	if refused == 0 {
		t.Error("no login was told that there were too many")
	}
	if answer := s.ask(http.MethodGet, "/api/v1/version", "attune_other"); answer.StatusCode != 429 {
		t.Errorf("%d", answer.StatusCode)
	}
}

func TestPagesOfOtherOriginsAreServedIfConfigured(t *testing.T) {
	t.Parallel()
	const ours, theirs = "https://dashboard.example", "https://evil.example"
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.Origins = []string{ours} })
	plain, _ := newServerOn(t, storetest.SQLite(t))
	granted := func(h http.Header) (names []string) {
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				names = append(names, name)
			}
		}
		return names
	}
	preflight := []string{"Origin", ours, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization"}
	answer := s.ask(http.MethodOptions, "/api/v1/executions", "", preflight...)
	h := answer.Header
	if answer.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != ours || h.Get("Vary") != "Origin" ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "PUT") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") ||
		h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", answer.StatusCode, h)
	}
	answer = s.ask(http.MethodGet, "/api/v1/version", token, "Origin", ours)
	if answer.StatusCode != 200 || answer.Header.Get("Access-Control-Allow-Origin") != ours || !strings.Contains(answer.Header.Get("Access-Control-Expose-Headers"), "ETag") {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	answer = s.ask(http.MethodGet, "/api/v1/version", "", "Origin", ours) // why it was refused is for the page to read
	if answer.StatusCode != 401 || answer.Header.Get("Access-Control-Allow-Origin") != ours {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	for _, origin := range []string{theirs, "https://dashboard.example.evil.example", "http://dashboard.example", "null", "HTTPS://dashboard.example"} {
		preflight[1] = origin
		for what, answer := range map[string]*http.Response{
			"preflight": s.ask(http.MethodOptions, "/api/v1/executions", "", preflight...), "request": s.ask(http.MethodGet, "/api/v1/version", token, "Origin", origin),
		} {
			if names := granted(answer.Header); len(names) != 0 || answer.Header.Get("Vary") != "Origin" || answer.StatusCode == 204 {
				t.Errorf("%s of %s: %d %v", what, origin, answer.StatusCode, answer.Header)
			}
		}
	}
	if answer := s.ask(http.MethodGet, "/login", "", "Origin", ours); len(granted(answer.Header)) != 0 {
		t.Errorf("a page: %v", answer.Header)
	}
	preflight[1] = ours
	if answer := plain.ask(http.MethodOptions, "/api/v1/executions", "", preflight...); len(granted(answer.Header)) != 0 || answer.Header.Get("Vary") != "" {
		t.Errorf("without origins: %v", answer.Header)
	}
}
