package secret

import (
	"errors"
	"io"
)

// piece is how much a Writer searches at once, at most.
const piece = 32 << 10

// Writer masks a stream. What may be the beginning of a value is held back until the next bytes tell; everything else
// is passed on at once. It is for one goroutine.
type Writer struct {
	w       io.Writer
	search  *search
	idle    bool   // there is nothing to mask
	held    []byte // what is held back, after what was passed on
	passed  int    // of held
	base    int64  // where held begins in the stream
	passage passage
	err     error
}

var errClosed = errors.New("the masking writer is closed")

// Write passes on what can't be a part of a value any more. An error is that of the underlying writer, which is not
// called again.
func (w *Writer) Write(text []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.idle {
		return w.w.Write(text)
	}
	done := 0
	for done < len(text) && w.err == nil {
		next := text[done:min(done+piece, len(text))]
		w.take(next)
		done += len(next)
	}
	if w.err != nil {
		return 0, w.err
	}
	return done, nil
}

// Close passes on the rest. It doesn't close the underlying writer.
func (w *Writer) Close() error {
	if w.err != nil {
		if errors.Is(w.err, errClosed) {
			return nil
		}
		return w.err
	}
	if !w.idle {
		w.search.finish()
		w.pass(w.base + int64(len(w.held)))
	}
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	return nil
}

// shallow is how many bytes of a value are too few for Settle to hold back what may be their beginning.
const shallow = 3

// Settle passes on the end of a line that is held back only because it might be the first two bytes of a value, in some
// encoding, that goes on in the next line. It is for a stream in which nothing has come for a while: a reader waits for
// the rest of the line. If such a value comes after all, the rest of it is masked.
func (w *Writer) Settle() error {
	if end := len(w.held); w.err == nil && end > w.passed && w.held[end-1] == '\n' {
		w.emit(w.search.live(w.base+int64(end), shallow)) // the search may still go back there
	}
	if errors.Is(w.err, errClosed) {
		return nil
	}
	return w.err
}

// Held returns how many bytes are held back. If they are part of no value, they are passed on as they are.
func (w *Writer) Held() int64 { return max(0, w.base+int64(len(w.held))-w.passage.done) }

// Places returns how many values, or groups of them without anything between, were masked so far.
func (w *Writer) Places() int64 { return w.passage.places }

// take searches some more text, and passes on what is settled.
func (w *Writer) take(text []byte) {
	from := len(w.held)
	w.held = append(w.held, text...)
	w.search.run(w.held[w.passed:], w.base+int64(w.passed), from-w.passed)
	w.pass(w.search.live(w.base+int64(len(w.held)), 1))
}

// pass passes on the text as far as to, which the search needs no more.
func (w *Writer) pass(to int64) {
	w.emit(to)
	w.passed = int(to - w.base)
	if w.passed > len(w.held)/2 { // else it would be moved again and again
		w.held = w.held[:copy(w.held, w.held[w.passed:])]
		w.base, w.passed = to, 0
	}
}

// emit writes the text as far as to.
func (w *Writer) emit(to int64) {
	w.passage.out = w.passage.out[:0]
	w.passage.pass(&w.search.spans, w.held, w.base, to)
	if len(w.passage.out) > 0 {
		_, w.err = w.w.Write(w.passage.out)
	}
}

// passage is a text on its way, as far as it is settled.
type passage struct {
	done   int64 // this far
	masked bool  // and what is before that is a mask
	places int64
	out    []byte
}

// pass appends the text as far as to, and with it the masks for the spans that begin there; a span may end later, as
// nothing that is before to will be found any more. The text is there from base on.
func (p *passage) pass(found *spans, text []byte, base, to int64) {
	n := 0
	for ; n < len(*found) && (*found)[n].start < to; n++ {
		s := (*found)[n]
		p.plain(text, base, s.start)
		if !p.masked {
			p.out = append(p.out, Mask...)
			p.places++
		}
		p.masked, p.done = true, max(p.done, s.end)
	}
	*found = (*found)[:copy(*found, (*found)[n:])]
	p.plain(text, base, to)
}

func (p *passage) plain(text []byte, base, to int64) {
	if p.done < to {
		p.out = append(p.out, text[p.done-base:to-base]...)
		p.done, p.masked = to, false
	}
}
