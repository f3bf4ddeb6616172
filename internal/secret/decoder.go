package secret

import (
	"unicode/utf16"
	"unicode/utf8"
)

// decoder turns the escapes of a text into what they stand for, and leaves the rest as it is.
type decoder struct {
	lead    byte       // begins an escape: % or \
	pending [12]symbol // an escape that is not complete
	n       int
}

// plain tells whether a byte stands for itself.
func (d *decoder) plain(b byte) bool { return d.n == 0 && b != d.lead }

// feed appends what is decoded, now that in is there, to out.
func (d *decoder) feed(out []symbol, in symbol) []symbol {
	d.pending[d.n] = in
	d.n++
	return d.decode(out, false)
}

// finish appends what was pending at the end of the text.
func (d *decoder) finish(out []symbol) []symbol { return d.decode(out, true) }

func (d *decoder) decode(out []symbol, last bool) []symbol {
	for d.n > 0 {
		var text [4]byte
		taken, decoded := 1, append(text[:0], d.pending[0].b)
		if d.pending[0].b == d.lead {
			taken, decoded = d.parse(d.pending[:d.n], text[:0])
		}
		if taken == 0 && !last {
			break
		}
		if taken == 0 {
			taken, decoded = 1, append(text[:0], d.lead)
		}
		for _, b := range decoded {
			out = append(out, symbol{b, d.pending[0].start, d.pending[taken-1].end})
		}
		d.n = copy(d.pending[:], d.pending[taken:d.n])
	}
	return out
}

// parse is given what begins with the lead. It returns how much of that it took, 0 if more has to come, and appends what
// it stands for to text. What is no escape stands for its first byte.
func (d *decoder) parse(p []symbol, text []byte) (taken int, decoded []byte) {
	if d.lead == '%' {
		return parsePercent(p, text)
	}
	return parseEscape(p, text)
}

// parsePercent reads %XX.
func parsePercent(p []symbol, text []byte) (int, []byte) {
	value, ok := hexValue(p[1:], 2)
	switch {
	case !ok:
		return 1, append(text, p[0].b)
	case len(p) < 3:
		return 0, nil
	}
	return 3, append(text, byte(value))
}

// shortEscapes are those of JSON, and the quote of other languages.
var shortEscapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', '\'': '\'', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// parseEscape reads the escapes of JSON, and \xXX.
func parseEscape(p []symbol, text []byte) (int, []byte) {
	if len(p) < 2 {
		return 0, nil
	}
	switch c := p[1].b; {
	case c == 'u':
		return parseUnicode(p, text)
	case c == 'x':
		return parseByte(p, text)
	case shortEscapes[c] != 0:
		return 2, append(text, shortEscapes[c])
	}
	return 1, append(text, p[0].b)
}

func parseByte(p []symbol, text []byte) (int, []byte) {
	value, ok := hexValue(p[2:], 2)
	switch {
	case !ok:
		return 1, append(text, p[0].b)
	case len(p) < 4:
		return 0, nil
	}
	return 4, append(text, byte(value))
}

// parseUnicode reads \uXXXX, or two of them for a character beyond those.
func parseUnicode(p []symbol, text []byte) (int, []byte) {
	one, ok := hexValue(p[2:], 4)
	switch {
	case !ok:
		return 1, append(text, p[0].b)
	case len(p) < 6:
		return 0, nil
	case one >= 0xdc80 && one <= 0xdcff: // how Python passes on a byte that is no text
		return 6, append(text, byte(one))
	case !utf16.IsSurrogate(one) || one >= 0xdc00:
		return 6, utf8.AppendRune(text, one)
	}
	return parsePair(one, p, text)
}

func parsePair(one rune, p []symbol, text []byte) (int, []byte) {
	two, ok := hexValue(p[min(8, len(p)):], 4)
	if len(p) > 6 && p[6].b != '\\' || len(p) > 7 && p[7].b != 'u' || !ok {
		return 6, utf8.AppendRune(text, utf8.RuneError)
	}
	if len(p) < 12 {
		return 0, nil
	}
	if r := utf16.DecodeRune(one, two); r != utf8.RuneError {
		return 12, utf8.AppendRune(text, r)
	}
	return 6, utf8.AppendRune(text, utf8.RuneError)
}

// hexValue reads up to n hexadecimal digits, and tells whether they are all that.
func hexValue(p []symbol, n int) (value rune, ok bool) {
	for _, s := range p[:min(n, len(p))] {
		digit := nibbles[s.b]
		if digit < 0 {
			return 0, false
		}
		value = value<<4 | rune(digit)
	}
	return value, true
}
