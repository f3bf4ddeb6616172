package cli

import (
	"fmt"
	"io"
	"time"
)

const (
	// progressAfter is how long something takes before it is worth to be told of.
	progressAfter = time.Second
	// progressEvery is how often it is told then.
	progressEvery = 200 * time.Millisecond
)

// progress is what is read, with a line on the terminal that says how much of it was.
type progress struct {
	from  io.Reader
	to    io.Writer // nil: nobody looks
	doing string
	size  int
	read  int
	begun time.Time
	told  time.Time
}

// progress tells of what takes long on stderr, if that is a terminal.
func (a *app) progress(from io.Reader, size int, doing string) *progress {
	p := &progress{from: from, doing: doing, size: size, begun: time.Now()}
	if isTerminal(a.Stderr) && !a.flags.quiet {
		p.to = a.Stderr
	}
	return p
}

// Read reads, and tells now and then how far that has come.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.read += n
	if now := time.Now(); p.to != nil && now.Sub(p.begun) > progressAfter && now.Sub(p.told) > progressEvery {
		p.told = now
		_, _ = fmt.Fprintf(p.to, "\rattune: %s: %s of %s (%d %%)\x1b[K", p.doing, // nowhere is left to say that it failed
			bytesText(int64(p.read)), bytesText(int64(p.size)), 100*p.read/max(1, p.size))
	}
	return n, err
}

// end takes the line away.
func (p *progress) end() {
	if !p.told.IsZero() {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K") // the same
	}
}
