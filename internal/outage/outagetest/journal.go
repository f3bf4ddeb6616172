// Package outagetest has what tests of outages read: the log.
package outagetest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Journal is a log that can be read while it is written. The zero value is empty.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends a line.
func (j *Journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

// String returns all that was written so far.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Count returns how often a text was written.
func (j *Journal) Count(text string) int { return strings.Count(j.String(), text) }

// Logger returns a logger that writes to it, from the level Info on.
func (j *Journal) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
