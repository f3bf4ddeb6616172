package api

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/live"
	"github.com/attune-automation/attune/internal/store"
)

// attemptLog is one stream of one attempt, and where it is read: in one of three places.
type attemptLog struct {
	id      int64
	attempt int
	stream  attune.Stream
	offset  int64
	worker  string

	stored io.ReadCloser // if it is in the artifact store
	path   string        // of its file, if that is here
	remote *live.Reader  // if a worker elsewhere has it
}

// locate finds where a log is read. What an attempt has left is in the artifact store, if there is one; what is not there
// (yet) is in a file of this host, or at the worker that has it.
func (a *API) locate(ctx context.Context, row store.ExecutionRow, log *attemptLog) error {
	away := a.locateStored(ctx, row, log)
	if log.stored != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	worker, err := a.cfg.Store.Read().WorkerOf(ctx, row, log.attempt)
	if err != nil {
		return err
	}
	files, err := a.attempt(worker, row.ID, log.attempt)
	if err == nil && (a.cfg.Live == nil || files.Exists()) {
		log.path = files.LogPath(log.stream)
		return nil
	}
	if away != nil {
		return away
	}
	if worker == nil || a.cfg.Live == nil || err != nil && attune.ErrorCode(err) != attune.CodeNotFound {
		return err
	}
	return a.locateRemote(ctx, *worker, log)
}

// locateStored looks in the artifact store for what an attempt that is over has left. It returns an error if the log is
// there and can't be had.
func (a *API) locateStored(ctx context.Context, row store.ExecutionRow, log *attemptLog) error {
	if !over(row, log.attempt) {
		return nil
	}
	content, _, err := a.openStored(ctx, log.id, log.attempt, log.stream.LogFile(), log.offset)
	if errors.As(err, new(*elsewhere)) {
		return nil
	}
	log.stored = content
	return err
}

func (a *API) locateRemote(ctx context.Context, worker string, log *attemptLog) error {
	row, err := a.cfg.Store.Read().WorkerByName(ctx, worker)
	if err != nil {
		return err
	}
	log.worker = worker
	log.remote, err = a.cfg.Live.Join(live.Log{
		WorkerID: row.ID, ExecutionID: log.id, Attempt: log.attempt, Stream: log.stream,
	}, log.offset)
	return err
}

// over tells whether an attempt has ended.
func over(row store.ExecutionRow, attempt int) bool {
	return row.Status.Final() || row.Attempt > attempt
}

// ask sees to it that a worker elsewhere answers.
func (l attemptLog) ask(ctx context.Context) error {
	if l.remote == nil {
		return nil
	}
	err := l.remote.Await(ctx)
	if errors.Is(err, live.ErrSilent) {
		// Not 503: the client would ask again for as long, and nobody knows when the worker is back.
		return attune.Errorf(attune.CodeNotFound, "the output lies on worker %s, which does not answer: try again when it runs "+
			"(`attune worker show %s` says how it is)", l.worker, l.worker)
	}
	return err
}

// close gives back what locate has taken.
func (l attemptLog) close() {
	if l.remote != nil {
		l.remote.Close()
	}
	if l.stored != nil {
		_ = l.stored.Close() // read only
	}
}

// copy writes what there is of the log now; nothing, if it was deleted or never written.
func (l attemptLog) copy(ctx context.Context, w io.Writer) error {
	switch {
	case l.stored != nil:
		_, err := io.Copy(w, l.stored)
		return err
	case l.remote != nil:
		return l.remote.Present(ctx, w)
	}
	done := make(chan struct{})
	close(done)
	return l.tail(ctx, w, done)
}

// tail writes a log in a file as it grows, until done is closed and all was written.
func (l attemptLog) tail(ctx context.Context, w io.Writer, done <-chan struct{}) error {
	err := artifact.Follow(ctx, w, artifact.Tail{Path: l.path, Offset: l.offset, Done: done})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// tail writes a log as it grows, until done is closed and all was written. One whose worker goes silent in the end may have
// come to the artifact store before.
func (a *API) tail(ctx context.Context, w io.Writer, log attemptLog, done <-chan struct{}) error {
	switch {
	case log.stored != nil:
		return log.copy(ctx, w)
	case log.remote == nil:
		return log.tail(ctx, w, done)
	}
	err := log.remote.Follow(ctx, w, done)
	if !errors.Is(err, live.ErrSilent) {
		return err
	}
	rest, _, notStored := a.openStored(ctx, log.id, log.attempt, log.stream.LogFile(), log.remote.Offset())
	if notStored != nil {
		return err
	}
	_, err = io.Copy(w, rest)
	return errors.Join(err, rest.Close())
}
