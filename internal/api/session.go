package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/attune-automation/attune/internal/web"
)

// sessionCookie holds the token of a browser that has logged in. Scripts can't read it, and no other site can have it
// sent.
const sessionCookie = "attune_session"

// maxLoginBytes bounds a login: a header of a request could hold no longer token.
const maxLoginBytes = 64 << 10

// sessions stands before guard, which takes away the header Accept, and lets browsers in: it turns the cookie of a request
// that bears no token into one, and shows the page for logging in to whoever opens a page without a session.
func (a *API) sessions(next http.Handler) http.Handler {
	admits := a.admission()
	front, pages := http.NewServeMux(), http.NewServeMux()
	front.HandleFunc("GET /login", a.loginPage(http.StatusOK, ""))
	front.HandleFunc("POST /login", a.login(admits))
	front.HandleFunc("POST /logout", logout)
	front.HandleFunc("GET "+web.Prefix+"{file...}", web.Asset)
	for _, pattern := range append(web.Pages(), "GET /docs") {
		pages.Handle(pattern, http.NotFoundHandler())
	}
	open := a.guard(sameOrigin(front))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := front.Handler(r); pattern != "" && plain(r) {
			open.ServeHTTP(w, r)
			return
		}
		r, bySession := withSession(r)
		if _, page := pages.Handler(r); page != "" && strings.Contains(r.Header.Get("Accept"), "text/html") && admits(r) == http.StatusUnauthorized {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if bySession {
			sameOrigin(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withSession gives a request without a token that of its cookie.
func withSession(r *http.Request) (*http.Request, bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || r.Header.Get("Authorization") != "" {
		return r, false
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+cookie.Value)
	return r, true
}

// sameOrigin refuses what a page of another origin lets a browser send, but for what changes nothing.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			_ = writeProblem(w, http.StatusForbidden, "the request comes from a page of another origin") // the client has gone
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admission tells what a request's token would be answered, by asking authenticate itself: what is right for a request must
// be right for a login. 200 is a good one.
func (a *API) admission() func(*http.Request) (status int) {
	gate := a.authenticate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	return func(r *http.Request) int {
		asked, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "/api/v1/version", nil)
		if err != nil {
			return http.StatusInternalServerError
		}
		asked.RemoteAddr = r.RemoteAddr
		asked.Header.Set("Authorization", r.Header.Get("Authorization"))
		asked.Header["X-Forwarded-For"] = r.Header["X-Forwarded-For"]
		answer := &statusOnly{header: http.Header{}}
		gate.ServeHTTP(answer, asked)
		return answer.status
	}
}

// login begins a session.
func (a *API) login(admits func(*http.Request) int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxLoginBytes)
		if err := r.ParseForm(); err != nil {
			a.loginPage(http.StatusUnprocessableEntity, "The form could not be read.")(w, r)
			return
		}
		token := strings.TrimSpace(r.PostForm.Get("token"))
		asked := r.Clone(r.Context())
		asked.Header.Set("Authorization", "Bearer "+token)
		status := http.StatusUnauthorized
		if token != "" && !strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			status = admits(asked)
		}
		switch status {
		case http.StatusOK:
		case http.StatusUnauthorized:
			a.loginPage(status, "This token is not known here.")(w, r)
			return
		case http.StatusTooManyRequests:
			a.loginPage(status, "Too many tokens were tried from this address: try again in a moment.")(w, r)
			return
		default:
			a.loginPage(status, "The server can't look tokens up now: try again in a moment.")(w, r)
			return
		}
		http.SetCookie(w, session(r, token, 0))
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, localPath(r.Form.Get("next")), http.StatusSeeOther)
	}
}

// logout ends a session in its browser. The token itself stays good.
func logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, session(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func session(r *http.Request, token string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
}

// localPath returns a path of this origin, else "/": a login must lead nowhere else. Browsers take \ for /.
func localPath(next string) string {
	to, err := url.Parse(next)
	noPath := func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f }
	if err != nil || to.IsAbs() || to.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, noPath) {
		return "/"
	}
	return next
}

//go:embed login.html
var loginHTML string

var loginTemplate = template.Must(template.New("login").Parse(loginHTML))

func (a *API) loginPage(status int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var text bytes.Buffer
		if err := loginTemplate.Execute(&text, map[string]any{
			"Message": message, "Next": localPath(r.FormValue("next")),
		}); err != nil {
			a.log.Error("page not rendered", "path", r.URL.Path, "error", err)
			_ = writeProblem(w, http.StatusInternalServerError, "the server failed to render the page: its log says why")
			return
		}
		web.Secure(w.Header())
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(text.Bytes()) // the client has gone
	}
}

// statusOnly keeps what a refusal says in its status and header.
type statusOnly struct {
	header http.Header
	status int
}

// Header returns the answer's header.
func (s *statusOnly) Header() http.Header { return s.header }

// WriteHeader keeps the status.
func (s *statusOnly) WriteHeader(status int) { s.status = status }

// Write drops the text.
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
