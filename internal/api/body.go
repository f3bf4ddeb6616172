package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// bodyTime is how long the body of a request may take to come, unless its operation has another time: huma's own are
// for bodies that an operation reads. One that nobody reads, because the token is wrong or the operation has none, is
// read by net/http before it sends the answer, for as long as it drips.
const bodyTime = 30 * time.Second

// maxIdleBody bounds the body of a request that should have none.
const maxIdleBody = 64 << 10

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

// emptied reads the body that a request of this kind should not have, or refuses it. While a body is left, net/http does not see that
// the client has gone: who follows a silent log, and leaves, would be served for as long as it is silent.
func emptied(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Body == nil || r.Body == http.NoBody {
		return true
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxIdleBody+1))
	late := net.Error(nil)
	var status int
	var message string
	switch {
	case errors.As(err, &late) && late.Timeout():
		status, message = http.StatusRequestTimeout, "the request takes no body, and the one that it announces does not come"
	case err != nil:
		status, message = http.StatusUnprocessableEntity, "the request takes no body, and the one that it has can't be read"
	case n > maxIdleBody:
		status, message = http.StatusRequestEntityTooLarge, "the request takes no body, and it has a large one"
	default:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		return true
	}
	w.Header().Set("Connection", "close")
	_ = writeProblem(w, status, message) // the client has gone
	return false
}
