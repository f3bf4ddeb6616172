// Package web owns the pages for browsers: one HTML file, style sheets and ES modules, embedded as they are written. There is no
// build step, and nothing is loaded from elsewhere.
//
// The API's handler serves it. The pages hold nothing secret: what they show they ask of the HTTP API, as any client
// does. It knows neither sessions nor tokens.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var assets embed.FS

// Prefix is the path under which the assets are; each file may be served to anybody.
const Prefix = "/ui/"

// Policy is the Content-Security-Policy of every page: only scripts, styles and requests of our own origin, and nothing
// inline, so that what an action writes can't become a program even if a page had a fault.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Secure sets the header fields that every page of HTML has.
func Secure(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// Pages are the patterns (net/http's) of the paths that Index serves; the browser's side chooses the page by the path.
func Pages() []string {
	return []string{
		"GET /{$}", "GET /executions", "GET /executions/{id}", "GET /actions", "GET /actions/{ref}", "GET /packs",
		"GET /workers", "GET /keys", "GET /tokens", "GET /audit",
	}
}

// Index answers with the page.
func Index(w http.ResponseWriter, r *http.Request) {
	Secure(w.Header())
	serve(w, r, "index.html")
}

// Asset answers with the file below Prefix.
func Asset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	serve(w, r, r.PathValue("file"))
}

// serve answers with a file, or that the browser has it already: a new version of the binary must not meet old scripts.
func serve(w http.ResponseWriter, r *http.Request, name string) {
	text, err := fs.ReadFile(assets, path.Join("assets", path.Clean("/"+name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(text)
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}
