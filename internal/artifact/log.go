package artifact

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"syscall"

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

// Note appends a line of Attune's own to a stream's log after the action has ended. What is no regular file is left
// alone: an action may have put anything in the place of its log.
func (a *Attempt) Note(stream attune.Stream, line string) error {
	path := a.LogPath(stream)
	const flags = os.O_RDWR | os.O_APPEND | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	file, err := os.OpenFile(path, flags, fileMode)
	if err != nil {
		return wrap("write log", path, err)
	}
	err = appendLine(file, line)
	return wrap("write log", path, errors.Join(err, file.Close()))
}

// appendLine begins a new line if the last one is open.
func appendLine(file *os.File, line string) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fs.ErrInvalid
	}
	last := []byte{'\n'}
	if info.Size() > 0 {
		if _, err := file.ReadAt(last, info.Size()-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' {
		line = "\n" + line
	}
	_, err = file.WriteString(line + "\n")
	return err
}
