package live

import (
	"context"
	"errors"
	"io"
	"time"
)

// patience is how long a worker may take to answer.
const patience = 4 * time.Second

// endPatience is how long it may take to tell the end. What was lost of that is asked for with the next renewal.
const endPatience = renewal + patience

// ErrSilent is returned when the worker that has a log does not answer.
var ErrSilent = errors.New("the worker that has the output does not answer")

// Reader reads a log that a worker elsewhere has. It is for one goroutine.
type Reader struct {
	replica *replica
	offset  int64
}

// Close gives the reader back.
func (r *Reader) Close() { r.replica.leave() }

// Offset is that of the next byte.
func (r *Reader) Offset() int64 { return r.offset }

// moment is how a log was at one time.
type moment struct {
	have, size   int64
	heard, ended bool
	fault        error
	changed      <-chan struct{}
}

func (r *replica) now() moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return moment{
		have: r.have, size: r.size, heard: r.heard, ended: r.ended, fault: r.fault, changed: r.changed,
	}
}

// Await returns when the worker has answered, with ErrSilent if it does not.
func (r *Reader) Await(ctx context.Context) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		m := r.replica.now()
		switch {
		case m.heard:
			return nil
		case m.fault != nil:
			return m.fault
		}
		select {
		case <-m.changed:
		case <-late.C:
			return ErrSilent
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Empty tells whether the worker has said that there is nothing, and will not be: no log, or an empty one.
func (r *Reader) Empty() bool {
	m := r.replica.now()
	return m.ended && m.size == 0
}

// Present copies what the log has now.
func (r *Reader) Present(ctx context.Context, w io.Writer) error {
	if err := r.Await(ctx); err != nil {
		return err
	}
	size := r.replica.now().size
	return r.copy(ctx, w, nil, func(m moment) bool { return r.offset >= size })
}

// Follow copies the log as it grows, until it has ended. Once done is closed, the worker has to go on answering.
func (r *Reader) Follow(ctx context.Context, w io.Writer, done <-chan struct{}) error {
	return r.copy(ctx, w, done, func(m moment) bool { return m.ended && r.offset >= m.have })
}

// copy copies until enough says so. The worker may be silent for as long as done is open; a nil one counts as closed.
func (r *Reader) copy(ctx context.Context, w io.Writer, done <-chan struct{}, enough func(moment) bool) error {
	silence := time.NewTimer(endPatience)
	defer silence.Stop()
	for open := done != nil; ; {
		m := r.replica.now()
		if r.offset < m.have {
			silence.Reset(endPatience)
			n, err := io.Copy(w, io.NewSectionReader(r.replica.file, r.offset, m.have-r.offset))
			r.offset += n
			if err != nil {
				return err
			}
		}
		if enough(m) {
			return nil
		}
		if m.fault != nil {
			return m.fault
		}
		select {
		case <-m.changed:
		case <-done:
			done, open = nil, false
			silence.Reset(endPatience)
		case <-silence.C:
			if !open {
				return ErrSilent
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
