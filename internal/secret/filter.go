package secret

import "math/bits"

// filter passes over text in which no value can begin, at a few instructions a byte. Whatever the encoding, a value
// begins either with an escape, or with four symbols of few that are possible. Symbols are told apart by 6 bits, those
// that base64 gives them, so that four of them make a gram of 24 bits whatever they are read as.
type filter struct {
	code [256]uint16 // of a byte: its symbol, how many bits of a gram that takes, and whether it may begin an escape
	few  sieve       // all grams pass both
	many bitmap
}

const (
	symbolBits = 6
	symbolMask = 1<<symbolBits - 1
	widthShift = 8 // a width of 0 is that of a blank, which is passed over
	escapeCode = 1 << 15
	gramSize   = 4
	lookBack   = gramSize // symbols: three of a gram, and a digit of base64 of which a value has some bits
)

// sieve is a set of grams in which others may seem to be, too. Its size is fixed, which makes it fast.
type sieve [1 << (16 - 6)]uint64

func (s *sieve) has(gram uint32) bool {
	i := gram << 8 * 0x9e3779b1 >> 16
	return s[i>>6]>>(i&63)&1 != 0
}

func (s *sieve) add(gram uint32) {
	i := gram << 8 * 0x9e3779b1 >> 16
	s[i>>6] |= 1 << (i & 63)
}

// bitmap is such a set for many grams: so large that one place in some dozens is taken.
type bitmap struct {
	words []uint64
	shift int
}

func newBitmap(grams int) bitmap {
	size := min(max(bits.Len(uint(grams*64)), 16), 24)
	return bitmap{words: make([]uint64, 1<<size/64), shift: 32 - size}
}

func (b *bitmap) place(gram uint32) uint32 { return gram << 8 * 0x85ebca6b >> b.shift }
func (b *bitmap) has(gram uint32) bool     { i := b.place(gram); return b.words[i/64]>>(i%64)&1 != 0 }
func (b *bitmap) add(gram uint32)          { i := b.place(gram); b.words[i/64] |= 1 << (i % 64) }

// newFilter returns a filter for values as they are in text, and as bytes. With forms, + may be a blank.
func newFilter(texts, raw [][]byte, forms bool) *filter {
	f := &filter{}
	for i := range f.code {
		symbol := uint16(i) & symbolMask
		if sextets[i] >= 0 {
			symbol = uint16(sextets[i])
		}
		f.code[i] = symbol | symbolBits<<widthShift
	}
	for _, c := range []byte(" \t\r\n") {
		f.code[c] = 0
	}
	f.code['%'] |= escapeCode
	f.code['\\'] |= escapeCode
	if forms {
		f.code['+'] |= escapeCode
	}
	var grams []uint32
	for _, p := range texts {
		grams = append(grams, f.gram(p))
	}
	for _, p := range raw {
		grams = append(f.hexGrams(grams, p), base64Grams(p)...)
	}
	f.many = newBitmap(len(grams))
	for _, gram := range grams {
		f.few.add(gram)
		f.many.add(gram)
	}
	return f
}

// gram returns that of four bytes that stand for themselves.
func (f *filter) gram(p []byte) (gram uint32) {
	for _, c := range p[:gramSize] {
		gram = f.join(gram, c)
	}
	return gram
}

// hexGrams appends the grams of the first two bytes in hex.
func (f *filter) hexGrams(grams []uint32, p []byte) []uint32 {
	digits := []string{bothCases(p[0] >> 4), bothCases(p[0] & 15), bothCases(p[1] >> 4), bothCases(p[1] & 15)}
	grams = f.choices(grams, nil, digits)
	return f.choices(grams, nil, []string{digits[0], digits[1], hexBetween, digits[2]})
}

// choices appends the grams of all texts whose bytes are each one of a string.
func (f *filter) choices(grams []uint32, begun []byte, rest []string) []uint32 {
	if len(rest) == 0 {
		return append(grams, f.gram(begun))
	}
	for i := range len(rest[0]) {
		grams = f.choices(grams, append(begun, rest[0][i]), rest[1:])
	}
	return grams
}

func bothCases(nibble byte) string {
	if nibble < 10 {
		return hexDigits[nibble : nibble+1]
	}
	return hexDigits[nibble:nibble+1] + "ABCDEF"[nibble-10:nibble-9]
}

// base64Grams returns those of the first four digits that are a value's alone, where it begins with a group of digits,
// after one other byte, and after two of them.
func base64Grams(p []byte) []uint32 {
	first := uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
	return []uint32{first >> 8, first << 4 >> 8, first << 2 >> 8}
}

func (f *filter) join(gram uint32, c byte) uint32 {
	code := f.code[c]
	return gram<<(code>>widthShift&7) | uint32(code&symbolMask)
}

func (f *filter) has(gram uint32) bool { return f.few.has(gram) && f.many.has(gram) }
func (f *filter) blank(c byte) bool    { return f.code[c] == 0 }
func (f *filter) escapes(c byte) bool  { return f.code[c]&escapeCode != 0 }

// find returns the first place at which a value may be known to have begun, or the length of the text. Of what is
// before from, only the beginning of a gram counts.
func (f *filter) find(text []byte, from int) int {
	gram := f.before(text, from)
	for i := from; i < len(text); i++ {
		code := f.code[text[i]]
		gram = gram<<(code>>widthShift&7) | uint32(code&symbolMask)
		if !f.few.has(gram) && code < escapeCode {
			continue
		}
		if code < escapeCode && f.many.has(gram) || code >= escapeCode && (f.has(gram) || !f.harmless(text, i)) {
			return i
		}
	}
	return len(text)
}

// before returns the gram that the symbols before a place begin.
func (f *filter) before(text []byte, at int) (gram uint32) {
	for _, c := range text[f.back(text, at, gramSize-1):at] {
		gram = f.join(gram, c)
	}
	return gram
}

// back returns the place of the nth symbol before another place, or 0.
func (f *filter) back(text []byte, at, n int) int {
	for ; at > 0 && n > 0; at-- {
		if !f.blank(text[at-1]) {
			n--
		}
	}
	return at
}
