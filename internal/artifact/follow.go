package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// pollInterval bounds how late a byte is seen when nobody wakes the reader.
const pollInterval = 50 * time.Millisecond

// Tail is a log that may still grow.
type Tail struct {
	Path   string
	Offset int64           // of the first byte wanted
	Done   <-chan struct{} // closed when nothing more will be written
	Wake   <-chan struct{} // optional, never closed: a value tells that there may be more
}

// Follow copies a log to w as it grows, from the offset on, and returns after Done is closed and everything was
// copied. A file that does not exist yet is waited for; one that still does not when Done is closed is an *Error that
// wraps fs.ErrNotExist. A link, a FIFO or a device in its place, as an action may leave there, is no file. It ends early with the cause of ctx, or with an error of w.
func Follow(ctx context.Context, w io.Writer, t Tail) error {
	file, err := t.await(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	for ended := false; ; {
		// Done is looked at before reading, so that what was written just before it closed is still read.
		ended = ended || t.done()
		if _, err := io.Copy(w, file); err != nil {
			return wrap("follow", t.Path, err)
		}
		if ended {
			return nil
		}
		if err := t.wait(ctx); err != nil {
			return err
		}
	}
}

func (t Tail) await(ctx context.Context) (*os.File, error) {
	for {
		ended := t.done()
		file, err := t.open()
		if err == nil {
			return file, nil
		}
		if ended || !errors.Is(err, fs.ErrNotExist) {
			return nil, wrap("follow", t.Path, err)
		}
		if err := t.wait(ctx); err != nil {
			return nil, err
		}
	}
}

func (t Tail) open() (*os.File, error) {
	root, err := os.OpenRoot(filepath.Dir(t.Path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // a directory
	file, _, err := openRegular(root, filepath.Base(t.Path))
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(t.Offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (t Tail) done() bool {
	select {
	case <-t.Done:
		return true
	default:
		return false
	}
}

func (t Tail) wait(ctx context.Context) error {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.Done:
	case <-t.Wake:
	case <-timer.C:
	}
	return nil
}
