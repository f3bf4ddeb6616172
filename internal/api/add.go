package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/store"
)

// maxArtifactBytes bounds an artifact that is added. What an action leaves in $ATTUNE_ARTIFACTS_DIR is not bounded by it.
const maxArtifactBytes = 100 << 20

func (a *API) registerAdd(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "add-artifact", Method: http.MethodPut, Path: artifactRoute, Tags: []string{executionTag},
		Summary: "Add a file to an execution that runs",
		Description: "The body is the file, of at most 100 MiB. Its name is below files/; one of that name is replaced. Of an execution " +
			"that was given secrets it is kept back until the attempt has ended, and masked. It is refused where the server " +
			"does not have the worker's directory: the action can write to $ATTUNE_ARTIFACTS_DIR, then.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}},
		}},
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict, http.StatusRequestEntityTooLarge},
	}, ofExecution(attune.RoleOperator).forExecutions(itself())), a.addArtifact)
}

type addArtifactInput struct {
	ExecutionPath
	Name string `path:"name" doc:"the artifact's name, below files/" example:"files/report.csv"`

	body io.Reader
}

// Resolve takes the body as it comes: huma would read all of it into memory. It is exported for huma.
func (in *addArtifactInput) Resolve(request huma.Context) []error {
	in.body = request.BodyReader()
	_ = request.SetReadDeadline(time.Now().Add(uploadTime)) // inside a process there is no connection
	return nil
}

var _ huma.Resolver = (*addArtifactInput)(nil)

type addedArtifact struct {
	Body attune.Artifact
}

func (a *API) addArtifact(ctx context.Context, in *addArtifactInput) (*addedArtifact, error) {
	const doing = "add an artifact"
	row, err := a.row(ctx, in.ID)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	added, err := a.storeAdded(ctx, row, in)
	if err != nil {
		return nil, a.problem(ctx, doing, addingFault(err))
	}
	return &addedArtifact{Body: added}, nil
}

// storeAdded puts the file where the attempt's files are, if that is here.
func (a *API) storeAdded(ctx context.Context, row store.ExecutionRow, in *addArtifactInput) (added attune.Artifact, err error) {
	if err := artifact.CheckFileName(in.Name); err != nil {
		return added, invalidField("path.name", err.Error())
	}
	if !row.Status.Live() {
		return added, notAdding(row)
	}
	files, err := a.attempt(row.Worker, row.ID, row.Attempt)
	if attune.ErrorCode(err) == attune.CodeNotFound {
		return added, attune.Errorf(attune.CodeConflict, "the files of execution %d lie on worker %s, where the server can't add any: "+
			"have the action write to $ATTUNE_ARTIFACTS_DIR, or give the server and its workers one shared artifacts.dir", row.ID, *row.Worker)
	}
	if err != nil {
		return added, err
	}
	action, err := a.cfg.Executions.ActionOf(ctx, row)
	if err != nil {
		return added, err
	}
	held := execution.GivenSecrets(row, action)
	return files.Add(in.Name, in.body, maxArtifactBytes, held, func(added attune.Artifact, place func() error) error {
		return a.noteAdded(ctx, row, added, held, place)
	})
}

func notAdding(row store.ExecutionRow) error {
	return attune.Errorf(attune.CodeConflict, "execution %d is %s: artifacts are added while its action runs", row.ID, row.Status)
}

// noteAdded places the file if the attempt has not ended meanwhile, and notes it, because who lists what the attempt left may
// have come by before. Nobody can end it while its row is locked, so what is refused was never there for anybody to list.
// What is held is not noted: its name may have to be masked, and who takes it lists it.
func (a *API) noteAdded(ctx context.Context, row store.ExecutionRow, added attune.Artifact, held bool, place func() error) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	return a.audited(ctx, "artifact added", func(q *store.Queries) (subject string, err error) {
		now, err := q.LockExecution(ctx, row.ID)
		if err != nil {
			return "", err
		}
		if !now.Status.Live() || now.Fence() != row.Fence() {
			return "", notAdding(now)
		}
		if who(ctx).execution == nil { // that it adds to itself needs no note
			subject = executionSubject(row)
		}
		if !held {
			err = q.PutArtifacts(ctx, store.Left{ExecutionID: row.ID, Worker: *row.Worker, Artifacts: []attune.Artifact{added}})
		}
		if err != nil {
			return "", err
		}
		return subject, place()
	})
}

// addingFault says what a client can do about a file that could not be stored.
func addingFault(err error) error {
	switch {
	case errors.Is(err, store.ErrUnavailable): // whatever has become of its connection
		return err
	case errors.Is(err, artifact.ErrTooLarge):
		return describe(http.StatusRequestEntityTooLarge, fmt.Sprintf("the file has more than %d bytes, which is the most that can be added: "+
			"have the action write it to $ATTUNE_ARTIFACTS_DIR", maxArtifactBytes), nil)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return tryAgain("the disk that artifacts are kept on is full")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return attune.Errorf(attune.CodeInvalid, "the body has ended too early")
	}
	return err
}
