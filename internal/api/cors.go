package api

import (
	"net/http"
	"slices"
	"strings"
)

// What a page of another origin may send, and read of an answer.
const (
	sharedMethods = "GET, HEAD, POST, PUT, DELETE"
	sharedHeaders = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"
	shownHeaders  = "Content-Disposition, ETag, Location, Retry-After"
	shareSeconds  = "600" // for which a browser need not ask again
)

// share lets pages of the configured origins call the API, by the CORS protocol (https://fetch.spec.whatwg.org). They have
// to bear a token: no cookie is theirs to use, so that Access-Control-Allow-Credentials is never sent.
func (a *API) share(next http.Handler) http.Handler {
	if len(a.cfg.Origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") && r.URL.Path != "/openapi.json" {
			next.ServeHTTP(w, r)
			return
		}
		header := w.Header()
		header.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if !slices.Contains(a.cfg.Origins, origin) {
			next.ServeHTTP(w, r)
			return
		}
		header.Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			header.Set("Access-Control-Allow-Methods", sharedMethods)
			header.Set("Access-Control-Allow-Headers", sharedHeaders)
			header.Set("Access-Control-Max-Age", shareSeconds)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		header.Set("Access-Control-Expose-Headers", shownHeaders)
		next.ServeHTTP(w, r)
	})
}
