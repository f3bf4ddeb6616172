package process

import (
	"fmt"
	"io"
	"sync"
)

// maxTail is the most of a stream's end that Capture keeps in memory until Close.
const maxTail = 64 << 10

// markerRoom is kept free for the line that says what is missing.
const markerRoom = 80

// Capture is a bounded copy of a stream: its head as it comes, and its end, with a line between them that says how
// much is missing. A stream that fits is copied to the byte. It is safe for concurrent use.
type Capture struct {
	mu      sync.Mutex
	to      io.Writer
	head    int64  // bytes that the head may still take
	tail    []byte // ring of the last bytes, made when the head is full
	limit   int    // size of tail
	next    int    // where the ring's next byte goes
	bytes   int64  // written in all
	overrun int64  // bytes that came after the head was full
	closed  bool
	err     error
}

// NewCapture returns a Capture that writes at most limit bytes to the writer.
func NewCapture(to io.Writer, limit int64) *Capture {
	tail := min(maxTail, limit/4)
	return &Capture{to: to, head: max(0, limit-tail-markerRoom), limit: int(tail)}
}

// Write takes p; it never fails, so that whoever writes goes on.
func (c *Capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += int64(len(p))
	n := min(int64(len(p)), c.head)
	if n > 0 {
		c.head -= n
		c.forward(p[:n])
	}
	c.keepTail(p[n:])
	return len(p), nil
}

func (c *Capture) forward(p []byte) {
	if _, err := c.to.Write(p); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *Capture) keepTail(p []byte) {
	if len(p) == 0 || c.limit == 0 {
		c.overrun += int64(len(p))
		return
	}
	if c.tail == nil {
		c.tail = make([]byte, c.limit)
	}
	c.overrun += int64(len(p))
	if len(p) >= c.limit {
		copy(c.tail, p[len(p)-c.limit:])
		c.next = 0
		return
	}
	n := copy(c.tail[c.next:], p)
	copy(c.tail, p[n:])
	c.next = (c.next + len(p)) % c.limit
}

// Close writes the marker, if anything is missing, and the end. It returns the first error of the writer.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.err
	}
	c.closed = true
	if dropped := c.dropped(); dropped > 0 {
		c.forward(fmt.Appendf(nil, "\n[attune: %d bytes are missing here]\n", dropped))
	}
	if c.overrun >= int64(c.limit) {
		c.forward(c.tail[c.next:])
	}
	c.forward(c.tail[:c.next])
	c.tail = nil
	return c.err
}

// Bytes returns how much was written in all.
func (c *Capture) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Head returns how much the head has, with so many bytes that are still to come.
func (c *Capture) Head(coming int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes - c.overrun + min(coming, c.head)
}

// Dropped returns how much of it was not, or will not be, kept.
func (c *Capture) Dropped() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped()
}

func (c *Capture) dropped() int64 { return max(0, c.overrun-int64(c.limit)) }
