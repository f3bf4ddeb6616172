package api

import (
	"net/http"
	"time"
)

// bodyTime is how long the body of a request may take to come, unless its operation has another time: huma's own are
// for bodies that an operation reads. One that nobody reads, because the token is wrong or the operation has none, is
// read by net/http before it sends the answer, for as long as it drips.
const bodyTime = 30 * time.Second

// bodiesInTime bounds the time of a body, and that alone: what is answered may be a stream without end.
func (a *API) bodiesInTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			// Inside a process there is no connection, and nothing to wait for.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.cfg.BodyTime))
		}
		next.ServeHTTP(w, r)
	})
}
