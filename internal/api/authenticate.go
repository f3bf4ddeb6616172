package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// open are the paths that need no token: a load balancer has none.
func open(path string) bool { return path == "/healthz" || path == "/readyz" }

// authenticate lets those in who bear the token.
func (a *API) authenticate(next http.Handler) http.Handler {
	if a.cfg.Token == "" {
		return next
	}
	want := sha256.Sum256([]byte(a.cfg.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", "Bearer")
		message := "a token is needed: the file `token` in the server's data directory holds it (ATTUNE_TOKEN or --token-file)"
		if token != "" {
			message = "the token is not known here: the file `token` in the server's data directory holds the right one"
		}
		_ = writeProblem(w, http.StatusUnauthorized, message) // the client has gone
	})
}
