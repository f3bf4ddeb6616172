package api

import (
	"errors"
	"net/http"
	"runtime/debug"
)

// guard stands before everything else: it takes away the header Accept, because there is one format and huma's own
// choice among formats panics on some values of it, and it answers for a handler that panics.
func (a *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "" {
			r = r.Clone(r.Context())
			r.Header.Del("Accept")
		}
		answer := &guarded{ResponseWriter: w}
		defer func() {
			if fault := recover(); fault != nil {
				a.answerFor(fault, answer, r)
			}
		}()
		next.ServeHTTP(answer, r)
	})
}

// answerFor tells of a panic in the log and in the answer. One that has begun is broken off, so that nobody takes it
// for whole.
func (a *API) answerFor(fault any, answer *guarded, r *http.Request) {
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	a.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "panic", fault, "stack", string(debug.Stack()))
	if answer.began {
		panic(http.ErrAbortHandler)
	}
	// The client has gone, if it fails.
	_ = writeProblem(answer, http.StatusInternalServerError, "the server failed to answer: its log says why")
}

// guarded remembers whether the answer has begun.
type guarded struct {
	http.ResponseWriter
	began bool
}

// WriteHeader begins the answer.
func (g *guarded) WriteHeader(status int) {
	g.began = true
	g.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, too.
func (g *guarded) Write(p []byte) (int, error) {
	g.began = true
	return g.ResponseWriter.Write(p)
}

// Flush sends what was written.
func (g *guarded) Flush() {
	if flusher, ok := g.ResponseWriter.(http.Flusher); ok {
		g.began = true
		flusher.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (g *guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }
