package secret

// reader reads a text in all encodings at once, byte by byte. Blanks and line ends are no part of any, so that it
// doesn't matter how something is wrapped.
type reader struct {
	m     *Masker
	spans spans

	// Text as it is, and the digits of hex and base64 in it.
	raw       track
	rawDigits digits

	// Text whose escapes are resolved. Without any, it is the same as the raw one, and not read.
	split             bool
	uri, form, escape track
	digits            digits // of text whose escapes of both kinds are resolved
	uriCode, formCode decoder
	escapes, both     decoder

	blanks int // the last bytes
	plain  int // symbols since the last escape, up to settled
}

// settled is how many symbols, of which the first one ends an escape, are enough for no search to go back into it.
const settled = lookBack + 1

func newReader(m *Masker) *reader {
	return &reader{
		m:        m,
		uriCode:  decoder{lead: '%'},
		formCode: decoder{lead: '%'},
		escapes:  decoder{lead: '\\'},
		both:     decoder{lead: '%'},
		plain:    settled,
	}
}

// reset forgets everything but what was found.
func (r *reader) reset() {
	r.raw.state, r.uri.state, r.form.state, r.escape.state = 0, 0, 0, 0
	r.uriCode.n, r.formCode.n, r.escapes.n, r.both.n = 0, 0, 0, 0
	r.rawDigits.reset()
	r.digits.reset()
	r.split, r.plain = false, settled
}

// quiet tells whether nothing is begun but what the filter sees when it goes on.
func (r *reader) quiet() bool {
	a := r.m.texts
	if r.raw.state >= a.deep || r.rawDigits.busy(r.m.bytes) {
		return false
	}
	if !r.split {
		return true
	}
	if max(r.uri.state, r.form.state, r.escape.state) >= a.deep || r.digits.busy(r.m.bytes) || r.pending() > 0 || r.plain < settled {
		return false
	}
	r.split = false
	return true
}

func (r *reader) pending() int { return r.uriCode.n + r.formCode.n + r.escapes.n + r.both.n }

// read reads the byte at a place of the text.
func (r *reader) read(c byte, at int64) {
	if blank(c) {
		if r.blanks++; r.blanks > r.m.mostBlanks {
			r.reset()
		}
		return
	}
	r.blanks = 0
	in := symbol{c, at, at + 1}
	escape := r.m.filter.escapes(c)
	if escape && !r.split {
		r.divide()
	}
	r.text(&r.raw, in)
	r.dense(&r.rawDigits, in)
	if !r.split {
		return
	}
	r.decode(in)
	if r.plain = min(r.plain+1, settled); escape || r.pending() > 0 {
		r.plain = 0
	}
}

// divide has the tracks of resolved text begin where the raw ones are. They are together again when it's quiet.
func (r *reader) divide() {
	r.split = true
	r.uri.copy(r.m.texts, &r.raw)
	r.escape.copy(r.m.texts, &r.raw)
	if r.m.forms {
		r.form.copy(r.m.texts, &r.raw)
	}
	r.digits.copy(r.m.bytes, &r.rawDigits)
}

// decode reads a symbol, as it is, in all other encodings.
func (r *reader) decode(in symbol) {
	r.through(&r.uriCode, &r.uri, in)
	if r.escapes.plain(in.b) {
		r.resolved(in)
	} else {
		var room [16]symbol
		for _, s := range r.escapes.feed(room[:0], in) {
			r.resolved(s)
		}
	}
	if r.m.forms {
		if in.b == '+' {
			in.b = ' '
		}
		r.through(&r.formCode, &r.form, in)
	}
}

// through reads a symbol of a text that a decoder decodes.
func (r *reader) through(d *decoder, t *track, in symbol) {
	if d.plain(in.b) {
		r.text(t, in)
		return
	}
	var room [16]symbol
	for _, s := range d.feed(room[:0], in) {
		r.text(t, s)
	}
}

// resolved reads a symbol of the text whose escapes are resolved.
func (r *reader) resolved(in symbol) {
	r.text(&r.escape, in)
	if r.both.plain(in.b) {
		r.dense(&r.digits, in)
		return
	}
	var room [16]symbol
	for _, s := range r.both.feed(room[:0], in) {
		r.dense(&r.digits, s)
	}
}

// text reads a symbol of a text.
func (r *reader) text(t *track, in symbol) {
	if !blank(in.b) {
		r.step(t, r.m.texts, in)
	}
}

// dense reads a symbol that may be a digit.
func (r *reader) dense(d *digits, in symbol) {
	if blank(in.b) {
		return
	}
	if t, s := d.hex.feed(in); t != nil {
		r.step(t, r.m.bytes, s)
	}
	if first, ok := d.base64.feed(in); ok {
		for place := 1; place <= 3; place++ {
			t, b := d.base64.track(place)
			r.step(t, r.m.bytes, symbol{b, first.start, in.end})
		}
	}
}

func (r *reader) step(t *track, a *automaton, in symbol) {
	if t.state == 0 && !a.begins(in.b) {
		return
	}
	if start, ok := t.step(a, in, r.m.longest); ok {
		r.spans.add(start, in.end)
	}
}

// finish reads what is pending at the end of the text, which is no escape.
func (r *reader) finish() {
	var room [16]symbol
	for _, s := range r.uriCode.finish(room[:0]) {
		r.text(&r.uri, s)
	}
	for _, s := range r.formCode.finish(room[:0]) {
		r.text(&r.form, s)
	}
	for _, s := range r.escapes.finish(room[:0]) {
		r.resolved(s)
	}
	for _, s := range r.both.finish(room[:0]) {
		r.dense(&r.digits, s)
	}
}

// live returns the first place where something begins that may become a value, of which there are at least so many bytes
// already, and at if there is none: with one byte, nothing before it will be found any more.
func (r *reader) live(at int64, bytes int32) int64 {
	least := min(r.raw.live(r.m.texts, at, r.m.longest, bytes), r.rawDigits.live(r.m, at, bytes))
	if !r.split {
		return least
	}
	for _, t := range []*track{&r.uri, &r.form, &r.escape} {
		least = min(least, t.live(r.m.texts, at, r.m.longest, bytes))
	}
	for _, d := range []*decoder{&r.uriCode, &r.formCode, &r.escapes, &r.both} {
		if d.n > 0 {
			least = min(least, d.pending[0].start)
		}
	}
	return min(least, r.digits.live(r.m, at, bytes))
}

func blank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }
