package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// textOnly refuses what no text of a database holds, wherever a request may have it: a NUL, and bytes that are no UTF-8.
// PostgreSQL fails on both, and what SQLite takes must not depend on which one it is. Bodies are checked as they are
// decoded, and their fields where they mean something: a parameter may hold a NUL, a name may not.
func textOnly(operations huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if wrong := notText(ctx); wrong != nil {
			// An error means that the client has gone.
			_ = huma.WriteErr(operations, ctx, http.StatusUnprocessableEntity, "the request is invalid", wrong)
			return
		}
		next(ctx)
	}
}

// notText returns what is wrong with the request's path, query or headers.
func notText(ctx huma.Context) error {
	target := ctx.URL()
	query, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return &huma.ErrorDetail{Location: "query", Message: "is not encoded as a query: write name=value, with %XX in UTF-8"}
	}
	for name, values := range query {
		if !isText(name) {
			return &huma.ErrorDetail{Location: "query", Message: "has a name that is no text: " + wantText}
		}
		for _, value := range values {
			if !isText(value) {
				return &huma.ErrorDetail{Location: "query." + name, Message: wantText}
			}
		}
	}
	for _, p := range ctx.Operation().Parameters {
		if p.In == "path" && !isText(ctx.Param(p.Name)) || p.In == "header" && !isText(ctx.Header(p.Name)) {
			return &huma.ErrorDetail{Location: p.In + "." + p.Name, Message: wantText}
		}
	}
	return nil
}

const wantText = "must be UTF-8 without NUL"

func isText(value string) bool { return utf8.ValidString(value) && !strings.Contains(value, "\x00") }

// errNotUTF8 is why a body is not JSON (RFC 8259, section 8.1) that encoding/json would read.
var errNotUTF8 = errors.New("is not JSON: it has bytes that are no UTF-8")
