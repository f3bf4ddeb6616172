package api

//go:generate go test . -run TestDocumentIsAsCheckedIn -update

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune/internal/web"
)

// finishDocument writes the OpenAPI document's paths as OpenAPI has them, and all statuses that an operation may have.
func finishDocument(document *huma.OpenAPI) {
	document.Paths[artifactPath] = document.Paths[artifactRoute]
	delete(document.Paths, artifactRoute)
	nullReferences(document.Components.Schemas)
	for _, item := range document.Paths {
		for _, op := range methods(item) {
			completeStatuses(op)
		}
	}
}

func methods(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete,
	}
	maps.DeleteFunc(all, func(_ string, op *huma.Operation) bool { return op == nil })
	return all
}

// completeStatuses documents what follows from the form of an operation: whoever has a token may have a wrong one, or use it
// too often, what has a body may have one that is too large, and what is named may not be there.
func completeStatuses(op *huma.Operation) {
	statuses := []int{http.StatusUnprocessableEntity, http.StatusInternalServerError}
	if _, guarded := op.Metadata[accessKey]; guarded {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, http.StatusUnsupportedMediaType)
	}
	if op.RequestBody != nil || op.Method == http.MethodGet {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge)
	}
	if strings.Contains(op.Path, "{") {
		statuses = append(statuses, http.StatusNotFound)
	}
	for _, status := range statuses {
		op.Responses[strconv.Itoa(status)] = refusal(status)
	}
	for _, later := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		if answer := op.Responses[strconv.Itoa(later)]; answer != nil && op.Metadata[accessKey] != nil {
			answer.Headers = map[string]*huma.Param{"Retry-After": {Schema: &huma.Schema{Type: "integer"}, Description: "seconds"}}
		}
	}
	if ok := op.Responses["200"]; ok != nil && ok.Headers["ETag"] != nil {
		op.Responses["304"] = &huma.Response{Description: http.StatusText(http.StatusNotModified), Headers: ok.Headers}
	}
	delete(op.Responses, "default")
}

// refusal is an answer that is a problem document.
func refusal(status int) *huma.Response {
	return &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/ErrorModel"}},
	}}
}

// Document returns the OpenAPI 3.1 document, indented.
func (a *API) Document() ([]byte, error) {
	text, err := json.Marshal(a.document)
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return nil, fmt.Errorf("indent the OpenAPI document: %w", err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// registerPages serves the document, for programs and for people, and the pages of package web.
func (a *API) registerPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /openapi.json", a.page("application/openapi+json", a.Document))
	mux.HandleFunc("GET /docs", a.page("text/html; charset=utf-8", a.operationsPage))
	for _, pattern := range web.Pages() {
		mux.HandleFunc(pattern, web.Index)
	}
}

func (a *API) page(kind string, render func() ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := render()
		if err != nil {
			a.log.Error("page not rendered", "path", r.URL.Path, "error", err)
			_ = writeProblem(w, http.StatusInternalServerError, "the server failed to render the page: its log says why")
			return
		}
		w.Header().Set("Content-Type", kind)
		web.Secure(w.Header())
		_, _ = w.Write(text) // the client has gone
	}
}

//go:embed operations.html
var operationsHTML string

// operation is one line of the page.
type operation struct {
	Method, Path string
	*huma.Operation
}

func (a *API) operationsPage() ([]byte, error) {
	page, err := template.New("operations").Parse(operationsHTML)
	if err != nil {
		return nil, fmt.Errorf("parse the page: %w", err)
	}
	var text bytes.Buffer
	err = page.Execute(&text, map[string]any{"Info": a.document.Info, "Operations": a.operations()})
	return text.Bytes(), err
}

func (a *API) operations() []operation {
	var all []operation
	for path, item := range a.document.Paths {
		for method, op := range methods(item) {
			all = append(all, operation{method, path, op})
		}
	}
	slices.SortFunc(all, func(x, y operation) int {
		return cmp.Or(cmp.Compare(x.Tags[0], y.Tags[0]), cmp.Compare(x.Path, y.Path), cmp.Compare(x.Method, y.Method))
	})
	return all
}
