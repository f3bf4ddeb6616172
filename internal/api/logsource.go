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

	whole  io.ReadCloser // of an attempt that is over, if it is in the artifact store, or here
	path   string        // of its file, if that is here
	remote *live.Reader  // if a worker elsewhere has it
}

// locate finds where a log is read. What an attempt has left is in the artifact store, if there is one; what is not there
// (yet) is in a file of this host, or at the worker that has it.
func (a *API) locate(ctx context.Context, row store.ExecutionRow, log *attemptLog) error {
	away := a.locateStored(ctx, row, log)
	if log.whole != nil {
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
		return a.locateFile(ctx, row, files, log)
	}
	if away != nil {
		return away
	}
	if worker == nil || a.cfg.Live == nil || err != nil && attune.ErrorCode(err) != attune.CodeNotFound {
		return a.unlessExpired(ctx, row, log, err)
	}
	return a.unlessExpired(ctx, row, log, a.locateRemote(ctx, *worker, log))
}

// locateFile opens the log of an attempt that is over, before it can be removed: it is whole. One that may still be
// written is opened by who follows it.
func (a *API) locateFile(ctx context.Context, row store.ExecutionRow, files *artifact.Attempt, log *attemptLog) error {
	log.path = files.LogPath(log.stream)
	if !over(row, log.attempt) {
		return nil
	}
	file, _, err := files.Open(log.stream.LogFile())
	if errors.Is(err, fs.ErrNotExist) {
		return a.expired(ctx, row, log)
	}
	if err != nil {
		return err
	}
	if _, err := file.Seek(log.offset, io.SeekStart); err != nil {
		return errors.Join(err, file.Close())
	}
	log.whole = file
	return nil
}

// expired tells why there is no log of an attempt that is over, where it would be; nil if nothing was ever kept of it.
// How much that was is stored with the end of the attempt, so nobody who sees the one misses the other.
func (a *API) expired(ctx context.Context, row store.ExecutionRow, log *attemptLog) error {
	wrote, err := a.cfg.Store.Read().OutputOf(ctx, row, log.attempt)
	if err != nil {
		return err
	}
	if of := wrote[log.stream]; of.Bytes <= of.DroppedBytes {
		return nil
	}
	listed, found, err := a.artifactRow(ctx, log.id, log.attempt, log.stream.LogFile())
	if err != nil {
		return err
	}
	if found && listed.Location != store.LocationWorker { // it may have come there since it was looked for
		return notStoredYet(listed)
	}
	return attune.Errorf(attune.CodeNotFound, "the output of attempt %d of execution %d is no longer kept: artifacts.retention_days says for how "+
		"long it is", log.attempt, log.id)
}

// unlessExpired returns why a log that lies elsewhere can't be had, or that it is no longer kept if it is not even listed.
func (a *API) unlessExpired(ctx context.Context, row store.ExecutionRow, log *attemptLog, why error) error {
	if !over(row, log.attempt) || attune.ErrorCode(why) != attune.CodeNotFound {
		return why
	}
	_, listed, err := a.artifactRow(ctx, log.id, log.attempt, log.stream.LogFile())
	if err == nil && !listed {
		err = a.expired(ctx, row, log)
	}
	if err != nil {
		return err
	}
	return why
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
	log.whole = content
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

// ask sees to it that a worker elsewhere answers, and has a log that was written.
func (a *API) ask(ctx context.Context, row store.ExecutionRow, log *attemptLog) error {
	if err := log.ask(ctx); err != nil {
		return a.unlessExpired(ctx, row, log, err)
	}
	if log.remote == nil || !over(row, log.attempt) || !log.remote.Empty() {
		return nil
	}
	return a.expired(ctx, row, log)
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
	if l.whole != nil {
		_ = l.whole.Close() // read only
	}
}

// copy writes what there is of the log now; nothing, if it was deleted or never written.
func (l attemptLog) copy(ctx context.Context, w io.Writer) error {
	switch {
	case l.whole != nil:
		_, err := io.Copy(w, l.whole)
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
	case log.whole != nil:
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
