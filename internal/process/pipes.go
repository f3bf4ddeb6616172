package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// chunk is how much is read at once: by size, never by line, because a line may be a gigabyte.
const chunk = 32 << 10

// pipeGrace is how long the pipes may stay open when all processes of the family have ended. Somebody outside may
// hold one: a file descriptor can be handed to any process.
const pipeGrace = time.Second

// pipes are the three pipes of a command: [0] is ours to write, the others are ours to read.
type pipes struct {
	own     [3]*os.File
	theirs  [3]*os.File
	readers sync.WaitGroup
	writer  sync.WaitGroup
}

func newPipes(c Command) (*pipes, error) {
	p := &pipes{}
	for i := range p.own {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeChildEnds()
			p.closeOwnEnds()
			return nil, fmt.Errorf("pipes of command %s: %w", c.ID, err)
		}
		p.own[i], p.theirs[i] = r, w
		if i == 0 {
			p.own[i], p.theirs[i] = w, r
		}
	}
	return p, nil
}

func (p *pipes) child() []*os.File { return p.theirs[:] }

func (p *pipes) closeChildEnds() { closeAll(p.theirs[:]) }
func (p *pipes) closeOwnEnds()   { closeAll(p.own[:]) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a pipe has nothing to flush; closing twice is harmless
		}
	}
}

// pump writes the input and reads the outputs at the same time, so that a command that reads nothing, or writes much
// before it reads, can't hang.
func (p *pipes) pump(c Command) {
	p.writer.Go(func() {
		// A command need not read its input: EPIPE is no fault of anybody's.
		_, _ = p.own[0].Write(c.Stdin)
		_ = p.own[0].Close()
	})
	p.readers.Go(func() { read(p.own[1], c.Stdout) })
	p.readers.Go(func() { read(p.own[2], c.Stderr) })
}

func read(from *os.File, to io.Writer) {
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			_, _ = to.Write(buffer[:n]) // the writer keeps its own faults; the pipe must be emptied in any case
		}
		if err != nil {
			return // EOF, or the deadline that drain sets
		}
	}
}

// drain waits for the ends of the outputs, but not for long: it returns true if one of them was still held. Nothing of
// the pipes is open afterwards.
func (p *pipes) drain() (held bool) {
	_ = p.own[0].SetWriteDeadline(time.Now()) // nobody is left to read the input
	p.writer.Wait()
	ended := make(chan struct{})
	go func() {
		p.readers.Wait()
		close(ended)
	}()
	timer := time.NewTimer(pipeGrace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		held = true
	}
	now := time.Now()
	err := errors.Join(p.own[1].SetReadDeadline(now), p.own[2].SetReadDeadline(now))
	if err == nil {
		<-ended
	}
	p.closeOwnEnds()
	<-ended
	return held
}
