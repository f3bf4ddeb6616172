package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// retrySeconds is when a client that met a busy database, or a server that stops, may come back.
const retrySeconds = 2

// problem turns an error into the problem document (RFC 9457) that a client gets. Our own errors are logged and told
// in general terms only: their text may hold what is not for everybody.
func (a *API) problem(ctx context.Context, doing string, err error) error {
	var known *attune.Error
	var described huma.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &described): // is a problem document already
		return err
	case errors.As(err, &known) && statusOf(known.Code) != http.StatusInternalServerError:
		return describe(statusOf(known.Code), known.Message, known.Details)
	case errors.Is(ctx.Err(), context.Canceled): // or the client has gone and reads no answer
		return tryAgain("the server is stopping")
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		a.log.Warn("request refused", "doing", doing, "error", err)
		return tryAgain("the database is busy or away: try again")
	}
	a.log.Error("request failed", "doing", doing, "error", err)
	return describe(http.StatusInternalServerError, "the server failed to "+doing+": its log says why", nil)
}

func tryAgain(message string) error {
	away := describe(http.StatusServiceUnavailable, message, nil)
	return huma.ErrorWithHeaders(away, http.Header{"Retry-After": {strconv.Itoa(retrySeconds)}})
}

func statusOf(code attune.Code) int {
	switch code {
	case attune.CodeInvalid:
		return http.StatusUnprocessableEntity
	case attune.CodeNotFound:
		return http.StatusNotFound
	case attune.CodeConflict, attune.CodeStale:
		return http.StatusConflict
	case attune.CodeDenied:
		return http.StatusForbidden
	case attune.CodeNoToken:
		return http.StatusUnauthorized
	case attune.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func describe(status int, message string, details []attune.Detail) *huma.ErrorModel {
	model := &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: message}
	for _, d := range details {
		model.Errors = append(model.Errors, &huma.ErrorDetail{Location: d.Place, Message: d.Message})
	}
	return model
}

// inBody places the details of an input error in the request's body.
func inBody(err error) error {
	var known *attune.Error
	if !errors.As(err, &known) || known.Code != attune.CodeInvalid {
		return err
	}
	placed := &attune.Error{Code: known.Code, Message: known.Message}
	for _, d := range known.Details {
		place := "body"
		if d.Place != "" {
			place += "." + d.Place
		}
		placed.Details = append(placed.Details, attune.Detail{Place: place, Message: d.Message})
	}
	return placed
}

// invalidField is an input error of one field.
func invalidField(place, message string) error {
	return &attune.Error{
		Code: attune.CodeInvalid, Message: "the request is invalid", Details: []attune.Detail{{Place: place, Message: message}},
	}
}

// strictInput gives malformed input the status that all wrong input has.
func strictInput(ctx huma.Context, next func(huma.Context)) {
	next(&inputStatus{exchange: ctx, body: &body{Reader: ctx.BodyReader()}})
}

// exchange is a huma.Context under a name that leaves its method Context in sight when it is embedded.
type exchange = huma.Context

type inputStatus struct {
	exchange
	body *body
}

// body remembers that it could not be read: chunks that are none, or a client that has gone.
type body struct {
	io.Reader
	broken bool
}

// Read reads on.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.broken = b.broken || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// BodyReader returns the request's body.
func (c *inputStatus) BodyReader() io.Reader { return c.body }

// SetStatus sets 422 for 400, and for the 500 that huma has for a body that can't be read.
func (c *inputStatus) SetStatus(status int) { c.exchange.SetStatus(c.statusFor(status)) }

func (c *inputStatus) statusFor(status int) int {
	if status == http.StatusBadRequest || status == http.StatusInternalServerError && c.body.broken {
		return http.StatusUnprocessableEntity
	}
	return status
}

// plainProblem completes huma's own problem documents. The faulty values are left out: they may be secret.
func plainProblem(ctx huma.Context, _ string, answer any) (any, error) {
	model, ok := answer.(*huma.ErrorModel)
	if !ok {
		return answer, nil
	}
	if input, ok := ctx.(*inputStatus); ok {
		model.Status = input.statusFor(model.Status)
		model.Title = http.StatusText(model.Status)
	}
	for _, e := range model.Errors {
		e.Value = nil
	}
	return model, nil
}

// writeProblem answers with a problem document outside of any operation.
func writeProblem(w http.ResponseWriter, status int, message string) error {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(describe(status, message, nil))
}

// problemsFor serves mux, with problem documents where it would say 404 or 405 in plain text.
func problemsFor(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serves(mux, r, r.Method) {
			if emptied(w, r) {
				mux.ServeHTTP(w, r)
			}
			return
		}
		status, message := http.StatusNotFound, "there is nothing at "+r.URL.Path+": /docs lists the operations"
		if allowed := allowed(mux, r); allowed != "" {
			w.Header().Set("Allow", allowed)
			status, message = http.StatusMethodNotAllowed, r.Method+" is not possible here, only "+allowed
		}
		_ = writeProblem(w, status, message) // the client has gone
	})
}

// serves tells whether there is something at a request's path for a method.
func serves(mux *http.ServeMux, r *http.Request, method string) bool {
	asked := *r
	asked.Method = method
	_, pattern := mux.Handler(&asked)
	return pattern != "" && plain(r) && !above(r, pattern)
}

// allowed lists the methods for which there is something at a request's path. net/http's own list has those of the paths
// below, too.
func allowed(mux *http.ServeMux, r *http.Request) string {
	var all []string
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	} {
		if serves(mux, r, method) {
			all = append(all, method)
		}
	}
	return strings.Join(all, ", ")
}

// plain tells whether a path is written as it is meant. net/http redirects others, as those with dots, slashes that are
// doubled or either of them encoded, to what it makes of them: that may be another operation, which nobody has asked for.
func plain(r *http.Request) bool {
	clean := path.Clean(r.URL.Path)
	return r.URL.Path == clean || clean != "/" && r.URL.Path == clean+"/"
}

// above tells whether a path is the one above those that a pattern is for: net/http would redirect it there.
func above(r *http.Request, pattern string) bool {
	_, below, found := strings.Cut(pattern, "/")
	return found && strings.Count(r.URL.Path, "/") < strings.Count(below, "/")+1
}
