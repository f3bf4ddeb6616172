package artifact

import (
	"io/fs"
	"os"
	"sync"

	"github.com/attune-automation/attune"
)

// Log appends one stream of an attempt to its file. Write never fails and never blocks on anything but the disk: after
// the first error it swallows and counts, because the process behind the stream must go on and end as it will.
// It may be used by several goroutines.
type Log struct {
	mu   sync.Mutex
	file *os.File
	err  error
	kept int64
	lost int64
}

// OpenLog creates a stream's log, or appends to the one that is there.
func (a *Attempt) OpenLog(stream attune.Stream) (*Log, error) {
	path := a.LogPath(stream)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, wrap("open log", path, err)
	}
	return &Log{file: file}, nil
}

// LostLog returns a log for an attempt whose own could not be opened, with the reason: it swallows and counts.
func LostLog(reason error) *Log { return &Log{err: reason} }

// Write appends p. It returns len(p) and no error, always; see Err and Lost.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	if l.err == nil {
		n, l.err = l.append(p)
	}
	l.kept += int64(n)
	l.lost += int64(len(p) - n)
	return len(p), nil
}

func (l *Log) append(p []byte) (int, error) {
	if l.file == nil {
		return 0, wrap("write log", "closed log", fs.ErrClosed)
	}
	n, err := l.file.Write(p)
	return n, wrap("write log", l.file.Name(), err)
}

// Kept returns how many bytes reached the file through this Log.
func (l *Log) Kept() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept
}

// Lost returns how many bytes were swallowed since an error.
func (l *Log) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Err returns the error after which the log began to swallow, nil if there is none.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close closes the file and returns the error that Err has, or that of closing, which some file systems keep a failed
// write for. It may be called again.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.err
	}
	err := l.file.Close()
	if l.err == nil {
		l.err = wrap("close log", l.file.Name(), err)
	}
	l.file = nil
	return l.err
}
