package live

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/attune-automation/attune/internal/broker"
)

// reading sends one log to one server, as far as it was asked to.
type reading struct {
	source *Source
	to     recipient
	asks   chan broker.OutputRequested // the newest

	file     io.ReadSeekCloser // nil until there is one
	position int64             // the bytes before it were sent
	until    int64
	request  int64 // the last one that was heeded
	answered bool  // something was sent since the last request
	told     bool  // and that this was the end
	failing  bool
}

// run sends until the log has ended and all of it was sent, or until nobody has asked for a lease.
func (r *reading) run(ctx context.Context) {
	defer r.close()
	asked := time.NewTimer(lease)
	defer asked.Stop()
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	r.heed(<-r.asks)
	for {
		over, err := r.advance(ctx)
		r.report(err)
		over = over || errors.Is(err, broker.ErrUnroutable) // the server has gone
		if over && r.source.forget(r) {
			return
		}
		select {
		case again := <-r.asks:
			r.heed(again)
			asked.Reset(lease)
		case <-look.C:
		case <-asked.C:
			if r.source.forget(r) {
				return
			}
		case <-ctx.Done():
			r.source.drop(r)
			return
		}
	}
}

// report tells of the first of several failures: what failed is tried again at the next look.
func (r *reading) report(err error) {
	if err != nil && !r.failing {
		r.source.cfg.Logger.Debug("output not sent", "execution", r.to.executionID, "stream", r.to.stream, "error", err)
	}
	r.failing = err != nil
}

func (r *reading) close() {
	if r.file != nil {
		_ = r.file.Close() // read only
	}
}

func (r *reading) heed(asked broker.OutputRequested) {
	if asked.Again {
		r.position = asked.Offset
	}
	r.position = max(r.position, asked.Offset)
	r.until, r.request = asked.Until, asked.Request
	r.answered, r.told = false, false
}

// advance sends what there is, and tells whether that was the end.
func (r *reading) advance(ctx context.Context) (over bool, err error) {
	// Asked before reading: what is written just before the end is still read.
	ended := !r.source.cfg.Running(r.to.executionID, r.to.attempt)
	size, err := r.look()
	if err != nil {
		return false, err
	}
	for r.position < min(size, r.until) {
		part := make([]byte, min(chunk, min(size, r.until)-r.position))
		if err := r.read(part); err != nil {
			return false, err
		}
		if err := r.send(ctx, part, size, ended); err != nil {
			return false, err
		}
	}
	over = ended && r.position >= size
	if !r.answered || over && !r.told {
		err = r.send(ctx, nil, size, ended)
	}
	return over, err
}

// look returns the size of the log, 0 if there is none (yet).
func (r *reading) look() (int64, error) {
	if r.file == nil {
		file, _, err := r.source.cfg.Artifacts.Attempt(r.to.executionID, r.to.attempt).Open(r.to.stream.LogFile())
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		r.file = file
	}
	return r.file.Seek(0, io.SeekEnd)
}

func (r *reading) read(part []byte) error {
	if _, err := r.file.Seek(r.position, io.SeekStart); err != nil {
		return err
	}
	_, err := io.ReadFull(r.file, part)
	return err
}

func (r *reading) send(ctx context.Context, part []byte, size int64, ended bool) error {
	err := r.source.cfg.Broker.Publish(ctx, broker.SendOutput(r.to.server, broker.OutputWritten{
		ExecutionID: r.to.executionID, Attempt: r.to.attempt, Stream: r.to.stream, Request: r.request,
		Offset: r.position, Data: part, Size: size, Ended: ended,
	}))
	if err != nil {
		return err
	}
	r.position += int64(len(part))
	r.answered, r.told = true, ended && r.position >= size
	return nil
}
