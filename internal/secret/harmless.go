package secret

// longestSimple is how long an escape is that harmless looks at.
const longestSimple = len(`\xXX`)

// simple returns how long the escape is that begins at a place, and what it stands for. It knows those that stand for
// one byte and are in one piece, but not that of the backslash, whose second half looks like the beginning of another.
func (f *filter) simple(text []byte, at int) (length int, b byte) {
	if text[at] == '+' {
		return 1, ' '
	}
	var room [longestSimple]symbol
	var decoded [4]byte
	n := 0
	for ; n < min(len(room), len(text)-at) && !f.blank(text[at+n]); n++ { // after a blank it may go on
		room[n].b = text[at+n]
	}
	d := decoder{lead: text[at]}
	length, out := d.parse(room[:n], decoded[:0])
	if len(out) != 1 || length == 2 && out[0] == '\\' {
		return 0, 0
	}
	return length, out[0]
}

// harmless tells whether an escape is none of the first symbols of a value: if neither what it stands for nor what is
// joined by a blank makes a gram with its neighbours. More than one at once it leaves to others.
func (f *filter) harmless(text []byte, at int) bool {
	length, b := f.simple(text, at)
	if length == 0 {
		return false
	}
	gram := f.before(text, at)
	if !f.blank(b) {
		if gram = f.join(gram, b); f.has(gram) {
			return false
		}
	}
	after := at + length
	for n := 1; n < gramSize; after++ {
		if after >= len(text) || f.escapes(text[after]) {
			return false
		}
		if f.blank(text[after]) {
			continue
		}
		if gram = f.join(gram, text[after]); f.has(gram) {
			return false
		}
		n++
	}
	return true
}

// begin returns the place of the nth symbol before another one. An escape is one symbol, or a blank.
func (f *filter) begin(text []byte, at, n int) int {
	for at > 0 && n > 0 {
		from, b := f.within(text, f.back(text, at, 1))
		if at = from; !f.blank(b) {
			n--
		}
	}
	return at
}

// within returns where the symbol begins that a place is part of, and what it stands for.
func (f *filter) within(text []byte, at int) (from int, b byte) {
	for from := max(0, at-longestSimple+1); from < at; from++ {
		if !f.escapes(text[from]) {
			continue
		}
		if length, b := f.simple(text, from); from+length > at {
			return from, b
		}
	}
	return at, text[at]
}
