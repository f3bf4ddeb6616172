package api

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/store"
)

// addElsewhere puts a file into the artifact store, for an attempt whose files lie on another host. Its row goes first, unseen:
// whatever happens until it is stored, retention or the deletion of the execution finds what there may be of it.
func (a *API) addElsewhere(ctx context.Context, row store.ExecutionRow, in *addArtifactInput, held bool) (added attune.Artifact, err error) {
	const instead = "have the action write to $ATTUNE_ARTIFACTS_DIR"
	switch {
	case row.StartedAt == nil:
		return added, notAdding(row)
	case a.cfg.Objects == nil:
		return added, attune.Errorf(attune.CodeConflict, "the files of execution %d lie on worker %s, where the server can't add any: "+instead+
			", or give the server and its workers one shared artifacts.dir, or an artifacts.store", row.ID, *row.Worker)
	case held:
		return added, attune.Errorf(attune.CodeConflict, "execution %d was given secrets, so what is added to it has to be masked on its worker %s, "+
			"where the server can't add any: "+instead, row.ID, *row.Worker)
	}
	left := store.Left{
		ExecutionID: row.ID, Worker: *row.Worker, Location: store.LocationStored,
		Artifacts: []attune.Artifact{{Name: in.Name, Type: attune.ArtifactFile, Attempt: row.Attempt}},
	}
	if err := a.beginAdding(ctx, row, left); err != nil {
		return added, err
	}
	key := artifact.Key(*row.Worker, row.ID, row.Attempt, in.Name)
	if left.Artifacts[0].Bytes, err = a.putObject(ctx, key, in.body); err != nil {
		return added, err
	}
	err = a.noteAdded(ctx, row, func(q *store.Queries) error { return q.PutArtifacts(ctx, left) })
	if attune.ErrorCode(err) == attune.CodeNotFound { // it was deleted meanwhile, with its rows
		if fault := a.cfg.Objects.Delete(ctx, key); fault != nil {
			a.log.Error("an object of a deleted execution stays in the artifact store", "key", key, "error", fault)
		}
	}
	return left.Artifacts[0], err
}

func (a *API) beginAdding(ctx context.Context, row store.ExecutionRow, left store.Left) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	return a.cfg.Store.Write(ctx, func(q *store.Queries) error {
		if err := stillAdding(ctx, q, row); err != nil {
			return err
		}
		return q.BeginArtifacts(ctx, left)
	})
}

// putObject stores all that a body has, and returns how much that is. Of what is empty there is no object.
func (a *API) putObject(ctx context.Context, key string, body io.Reader) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	arriving := &arriving{from: body}
	content := bufio.NewReader(arriving)
	_, err := content.Peek(1)
	if errors.Is(err, io.EOF) {
		err = a.cfg.Objects.Delete(ctx, key)
	} else if err == nil {
		err = a.cfg.Objects.Put(ctx, key, content)
	}
	switch {
	case arriving.fault != nil:
		return 0, arriving.fault
	case errors.Is(err, objects.ErrRefused):
		return 0, attune.Errorf(attune.CodeConflict, "the artifact store does not take this file: %v", err)
	case err != nil:
		return 0, a.storeAway(ctx, "add an artifact", err)
	}
	return arriving.bytes, nil
}

// arriving is a body on its way into the artifact store. It tells what is wrong with it from what is wrong with the store.
type arriving struct {
	from  io.Reader
	bytes int64
	fault error
}

// Read reads on, up to the most that can be added.
func (b *arriving) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.bytes += int64(n); b.bytes > maxArtifactBytes {
		err = artifact.ErrTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.fault = err
	}
	return n, err
}
