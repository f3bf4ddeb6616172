package runtime

import (
	"bytes"
	"io"
)

// tailSlack is kept beside the largest result, for the white space around it.
const tailSlack = 4 << 10

// Tail keeps the end of a stream, from which a result may be read. It costs nothing for short streams and never holds
// more than twice what it keeps. It is no log: what fell out at the front is not counted as lost.
type Tail struct {
	keep  int
	buf   []byte
	total int64
}

// NewTail returns a Tail for results of at most limit bytes.
func NewTail(limit int64) *Tail { return &Tail{keep: int(limit) + tailSlack} }

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.total += int64(len(p))
	if len(p) >= t.keep {
		t.buf = append(t.buf[:0], p[len(p)-t.keep:]...)
		return len(p), nil
	}
	if len(t.buf)+len(p) > 2*t.keep {
		t.buf = t.buf[:copy(t.buf, t.buf[len(t.buf)-t.keep:])]
	}
	t.buf = append(t.buf, p...)
	return len(p), nil
}

// end returns what is kept, without the white space after it, and whether that is the whole stream.
func (t *Tail) end() (kept []byte, whole bool) {
	kept = t.buf[max(0, len(t.buf)-t.keep):]
	return bytes.TrimSpace(kept), int64(len(kept)) == t.total
}

// lastLine returns the last line that is not blank, and whether it is there from its beginning.
func (t *Tail) lastLine() (line []byte, whole bool) {
	kept, all := t.end()
	if i := bytes.LastIndexByte(kept, '\n'); i >= 0 {
		return bytes.TrimSpace(kept[i+1:]), true
	}
	return kept, all
}

// Tee returns a writer that gives all it gets to t and then to w, whose answer it passes on.
func (t *Tail) Tee(w io.Writer) io.Writer { return io.MultiWriter(t, w) }
