package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/store"
)

// openStored opens what an attempt has left under a name, from an offset on, in the artifact store, and returns the size
// of all of it. It may be read for as long as ctx lasts.
//
// What is not in the store is an error that wraps fs.ErrNotExist: then it is in the directory of its worker, or nowhere.
// Where that directory is not here, the error is the answer for who asked: it says where the artifact is.
func (a *API) openStored(ctx context.Context, id int64, attempt int, name string, offset int64) (io.ReadCloser, int64, error) {
	if a.cfg.Objects == nil {
		return nil, 0, &elsewhere{}
	}
	row, found, err := a.artifactRow(ctx, id, attempt, name)
	switch {
	case err != nil:
		return nil, 0, err
	case !found:
		return nil, 0, &elsewhere{noRow: true}
	case row.Location == store.LocationPending:
		return nil, 0, &elsewhere{where: notStoredYet(row)}
	case row.Location != store.LocationStored:
		return nil, 0, &elsewhere{}
	case row.Bytes == 0:
		return io.NopCloser(strings.NewReader("")), 0, nil
	}
	object, err := a.openObject(ctx, artifact.Key(row.Worker, id, attempt, name), offset)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, objects.ErrAway): // a directory that is not mounted is both
		return nil, 0, &elsewhere{where: attune.Errorf(attune.CodeNotFound,
			"%s of execution %d is no longer in the artifact store: somebody has removed it there", name, id)}
	case err != nil:
		return nil, 0, a.storeAway(ctx, "read it", err)
	}
	return object, object.Size, nil
}

func notStoredYet(row store.StoredArtifact) *attune.Error {
	return attune.Errorf(attune.CodeNotFound, "%s of execution %d is not in the artifact store yet: worker %s "+
		"is still uploading it, or can't; try again, or look into that worker's log", row.Name, row.ExecutionID, row.Worker)
}

// elsewhere says that an artifact is not in the artifact store.
type elsewhere struct {
	where *attune.Error // nil if nothing is known of it but that
	noRow bool          // nothing is listed under its name: the attempt has not ended, or has not left it
}

// Error returns where it is.
func (e *elsewhere) Error() string {
	if e.where == nil {
		return "not in the artifact store"
	}
	return e.where.Error()
}

// Unwrap returns fs.ErrNotExist, and what a client is told.
func (e *elsewhere) Unwrap() []error {
	if e.where == nil {
		return []error{fs.ErrNotExist}
	}
	return []error{fs.ErrNotExist, e.where}
}

func (a *API) artifactRow(ctx context.Context, id int64, attempt int, name string) (store.StoredArtifact, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	return a.cfg.Store.Read().Artifact(ctx, id, attempt, name)
}

// errSlowStore is why an object is no longer waited for.
var errSlowStore = fmt.Errorf("%w: it does not answer", objects.ErrAway)

// openObject opens an object in time, for reading that may take longer.
func (a *API) openObject(ctx context.Context, key string, offset int64) (*objects.Object, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(a.cfg.AnswerTime, func() { cancel(errSlowStore) })
	object, err := a.cfg.Objects.Open(ctx, key, offset)
	if err == nil && !late.Stop() {
		err = errors.Join(errSlowStore, object.Close())
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	object.ReadCloser = &ending{object.ReadCloser, cancel}
	return object, nil
}

// ending is an object that ends its context when it is closed.
type ending struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close closes the object.
func (e *ending) Close() error {
	defer e.cancel(nil)
	return e.ReadCloser.Close()
}

// storeAway is the problem of an artifact store that can't be had.
func (a *API) storeAway(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil {
		a.log.Warn("the artifact store is away", "doing", doing, "error", err)
	}
	return tryAgain("the artifact store is away: try again")
}
