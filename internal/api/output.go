package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

func (a *API) registerOutput(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-log", Method: http.MethodGet, Path: "/api/v1/executions/{id}/logs/{stream}",
		Tags: []string{executionTag}, Summary: "Get what an execution wrote, byte for byte",
		Description: "With follow, the answer begins with the execution and goes on as it writes, through further " +
			"attempts, until it has ended. An answer that breaks off is not whole. What was written and is past its retention is 404.",
		Responses: bytesResponse("the log's bytes"),
	}, ofExecution(attune.RoleViewer).forExecutions(family())), a.getLog)
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-output-order", Method: http.MethodGet, Path: "/api/v1/executions/{id}/logs/order",
		Tags: []string{executionTag}, Summary: "Get how an execution's two logs came after each other",
		Description: "Known of an attempt that has ended and has written to both, for as long as its logs are kept. What a " +
			"log has beyond its turns, as the end of one that was cut short, is not known to have come before or after anything.",
	}, ofExecution(attune.RoleViewer).forExecutions(family())), inTime(a, a.getOrder))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-artifacts", Method: http.MethodGet, Path: "/api/v1/executions/{id}/artifacts",
		Tags: []string{executionTag}, Summary: "List what an execution left",
	}, ofExecution(attune.RoleViewer).forExecutions(family())), inTime(a, a.listArtifacts))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-artifact", Method: http.MethodGet, Path: artifactRoute, Tags: []string{executionTag},
		Summary: "Get an artifact's content", Responses: bytesResponse("the artifact's bytes"),
	}, ofExecution(attune.RoleViewer).forExecutions(family())), a.getArtifact)
}

func bytesResponse(what string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: what,
		Content:     map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
	}}
}

type artifactList struct {
	Body struct {
		Items []attune.Artifact `json:"items"`
	}
}

func (a *API) listArtifacts(ctx context.Context, in *ExecutionPath) (*artifactList, error) {
	const doing = "list artifacts"
	row, err := a.cfg.Store.Read().Execution(ctx, in.ID)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	stored, err := a.cfg.Store.Read().Artifacts(ctx, in.ID)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	answer := &artifactList{}
	answer.Body.Items = []attune.Artifact{}
	for _, each := range stored {
		if row.Status.Live() && each.Attempt == row.Attempt { // was added, and is told with the others below
			continue
		}
		answer.Body.Items = append(answer.Body.Items, each.Artifact)
	}
	if row.Status.Live() { // most rows of this attempt come with its end
		present, err := a.present(row)
		if err != nil {
			return nil, a.problem(ctx, doing, err)
		}
		answer.Body.Items = append(answer.Body.Items, present...)
	}
	return answer, nil
}

// present returns what a running attempt has left so far, nothing if that is elsewhere.
func (a *API) present(row store.ExecutionRow) ([]attune.Artifact, error) {
	files, err := a.attempt(row.Worker, row.ID, row.Attempt)
	if attune.ErrorCode(err) == attune.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := files.List()
	return found.Artifacts, err
}

// artifactRoute is how net/http's mux writes a name with slashes; the document has artifactPath.
const (
	artifactRoute = "/api/v1/executions/{id}/artifacts/{name...}"
	artifactPath  = "/api/v1/executions/{id}/artifacts/{name}"
)

type getArtifactInput struct {
	ExecutionPath
	Name    string `path:"name" doc:"the artifact's name, which may have slashes" example:"files/report.csv"`
	Attempt int    `query:"attempt" minimum:"1" doc:"of this attempt (default: the latest that has it)"`
}

func (a *API) getArtifact(ctx context.Context, in *getArtifactInput) (*huma.StreamResponse, error) {
	const doing = "open an artifact"
	content, size, err := a.openArtifact(ctx, in)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		defer func() { _ = content.Close() }() // read only
		answer.SetHeader("Content-Length", strconv.FormatInt(size, 10))
		answer.SetHeader("Content-Disposition", "attachment")
		begin(answer)
		// A file that is still written may have grown since its size was told.
		a.send(answer, func(w io.Writer) error { _, err := io.CopyN(w, content, size); return err })
	}}, nil
}

// openArtifact opens an artifact of an attempt, or of the latest one that has it.
func (a *API) openArtifact(ctx context.Context, in *getArtifactInput) (io.ReadCloser, int64, error) {
	row, err := a.row(ctx, in.ID)
	if err != nil {
		return nil, 0, err
	}
	latest, earliest := row.Attempt, 1
	if in.Attempt > 0 {
		latest, earliest = in.Attempt, in.Attempt
	}
	missing := attune.Errorf(attune.CodeNotFound,
		"execution %d has no artifact %q: `attune execution artifacts %d` lists what it has", in.ID, in.Name, in.ID)
	for attempt := latest; attempt >= earliest; attempt-- {
		content, size, err := a.openOf(ctx, row, attempt, in.Name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return content, size, err
		}
		errors.As(err, &missing) // says more
	}
	return nil, 0, missing
}

// openOf opens an artifact of an attempt, in the artifact store or in its worker's directory.
func (a *API) openOf(ctx context.Context, row store.ExecutionRow, attempt int, name string) (io.ReadCloser, int64, error) {
	content, size, err := a.openStored(ctx, row.ID, attempt, name, 0)
	var outside *elsewhere
	if !errors.As(err, &outside) {
		return content, size, err
	}
	file, found, err := a.openFile(ctx, row, attempt, name)
	var away *attune.Error
	switch {
	case err == nil:
		return file, found.Bytes, nil
	case outside.where != nil:
		return nil, 0, outside.where
	case outside.noRow && errors.As(err, &away) && away.Code == attune.CodeNotFound:
		return nil, 0, &elsewhere{where: away} // an earlier attempt may have it
	}
	return nil, 0, err
}

func (a *API) openFile(ctx context.Context, row store.ExecutionRow, attempt int, name string) (io.ReadCloser, attune.Artifact, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	worker, err := a.cfg.Store.Read().WorkerOf(ctx, row, attempt)
	if err != nil {
		return nil, attune.Artifact{}, err
	}
	files, err := a.attempt(worker, row.ID, attempt)
	if err != nil {
		return nil, attune.Artifact{}, err
	}
	return files.Open(name)
}

// begin sends the header of a stream of bytes that are never to be taken for a page.
func begin(answer huma.Context) {
	answer.SetHeader("Content-Type", "application/octet-stream")
	answer.SetHeader("X-Content-Type-Options", "nosniff")
	answer.SetHeader("Cache-Control", "no-store")
	answer.SetStatus(http.StatusOK)
	if flusher, ok := answer.BodyWriter().(http.Flusher); ok {
		flusher.Flush()
	}
}

// send writes the body of a stream. One that can't be written whole is broken off, so that nobody takes it for whole.
func (a *API) send(answer huma.Context, write func(io.Writer) error) {
	if err := write(flushing{answer.BodyWriter()}); err != nil {
		if answer.Context().Err() == nil {
			a.log.Warn("stream broken off", "path", answer.URL().Path, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// flushing sends what is written at once.
type flushing struct{ w io.Writer }

// Write writes p and sends it.
func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if flusher, ok := f.w.(http.Flusher); ok {
		flusher.Flush()
	}
	return n, err
}
