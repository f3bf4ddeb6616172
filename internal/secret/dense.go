package secret

const (
	hexDigits    = "0123456789abcdef"
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	hexBetween   = ":-," // one of them may stand between two bytes
)

// nibbles and sextets are the values of the digits of hex and base64, those of its URL alphabet too; others have -1.
var (
	nibbles = digitValues(hexDigits, "ABCDEF", 10)
	sextets = digitValues(base64Digits, "-_", 62)
)

func digitValues(all, more string, from int8) (values [256]int8) {
	for i := range values {
		values[i] = -1
	}
	for i := range len(all) {
		values[all[i]] = int8(i)
	}
	for i := range len(more) {
		values[more[i]] = from + int8(i)
	}
	return values
}

// digits read what is dense.
type digits struct {
	hex    hexTracks
	base64 base64Tracks
}

func (d *digits) reset() {
	d.hex.reset()
	d.base64.reset()
}

// busy tells whether so much of a value may have been read that no gram of it is to come: a byte in hex, which may be
// four symbols with what is between and after, or two bytes in base64, which are three digits at least.
func (d *digits) busy(a *automaton) bool {
	h, b := &d.hex.tracks, &d.base64.tracks
	return h[0].state|h[1].state != 0 || max(b[0].state, b[1].state, b[2].state, b[3].state) >= a.second
}

// copy makes d the same as others.
func (d *digits) copy(a *automaton, from *digits) {
	hex, base64 := d.hex.tracks, d.base64.tracks // which have room of their own
	d.hex, d.base64 = from.hex, from.base64
	d.hex.tracks, d.base64.tracks = hex, base64
	for i := range hex {
		d.hex.tracks[i].copy(a, &from.hex.tracks[i])
	}
	for i := range base64 {
		d.base64.tracks[i].copy(a, &from.base64.tracks[i])
	}
}

// live returns where begins what may become a value, of which there are at least so many bytes, and at, the end of the
// text so far, if nothing does. The last digit may have the first bits of one.
func (d *digits) live(m *Masker, at int64, bytes int32) int64 {
	least := at
	for i := range d.hex.tracks {
		least = min(least, d.hex.tracks[i].live(m.bytes, at, m.longest, bytes))
	}
	for i := range d.base64.tracks {
		least = min(least, d.base64.tracks[i].live(m.bytes, at, m.longest, bytes))
	}
	if bytes > 1 {
		return least
	}
	if start := d.hex.last.start; d.hex.open && m.leads.hex[d.hex.value] && start >= at-m.longest {
		least = min(least, start)
	}
	if start := d.base64.last.start; d.base64.open && m.leads.base64[d.base64.bits&symbolMask] && start >= at-m.longest {
		least = min(least, start)
	}
	return least
}

// hexTracks read hex. A byte may begin at each digit, so that there are two of them.
type hexTracks struct {
	tracks  [2]track
	count   int
	last    symbol // the digit that was read last
	value   int8   // its value
	open    bool   // the last digit may be the first one of a byte
	between byte   // what was read since the last digit
}

func (h *hexTracks) reset() {
	h.tracks[0].state, h.tracks[1].state, h.open, h.between = 0, 0, false, 0
}

// feed returns the track that has a byte now, nil if none has.
func (h *hexTracks) feed(in symbol) (*track, symbol) {
	value := nibbles[in.b]
	if value < 0 {
		h.separate(in.b)
		return nil, in
	}
	h.count++
	first, open := h.last, h.open
	whole := symbol{byte(h.value<<4 | value), first.start, in.end}
	h.last, h.value, h.open, h.between = in, value, true, 0
	if !open {
		return nil, in
	}
	return &h.tracks[h.count&1], whole
}

// separate reads what is no digit: a colon or such between two bytes, or \x before one.
func (h *hexTracks) separate(c byte) {
	switch {
	case h.open && (c == ':' || c == '-' || c == ',' || c == '\\'):
		h.tracks[(h.count+1)&1].state = 0 // for this one it is within a byte
		h.open, h.between = false, c
	case c == 'x' && h.between == '\\':
		h.between = c
	default:
		h.reset()
	}
}

// base64Tracks read base64. A group of four digits may begin at each digit, so that there are four of them.
type base64Tracks struct {
	tracks [4]track
	count  int
	bits   uint32 // of the digits so far
	last   symbol
	open   bool // there is a last one
}

func (b *base64Tracks) reset() {
	for i := range b.tracks {
		b.tracks[i].state = 0
	}
	b.open = false
}

// feed reads a symbol, and tells whether there are bytes to be had.
func (b *base64Tracks) feed(in symbol) (first symbol, ok bool) {
	value := sextets[in.b]
	if value < 0 {
		b.reset()
		return in, false
	}
	b.bits = b.bits<<6 | uint32(value)
	b.count++
	first, ok = b.last, b.open
	b.last, b.open = in, true
	return first, ok
}

// track returns the one for which the last digit was at this place of its group, 1 to 3, and the byte that it has now.
// Each byte is made of two digits.
func (b *base64Tracks) track(place int) (*track, byte) {
	return &b.tracks[(b.count-place)&3], byte(b.bits >> (6 - 2*place))
}

// leads are the digits in which a value may begin: those that have the first bits of its first byte.
type leads struct {
	hex    [16]bool
	base64 [64]bool
}

func newLeads(a *automaton) *leads {
	l := &leads{}
	for c := range 256 {
		if !a.begins(byte(c)) {
			continue
		}
		l.hex[c>>4] = true
		l.base64[c>>2] = true
		for before := range 64 {
			l.base64[(before<<4|c>>4)&63] = true
			l.base64[(before<<2|c>>6)&63] = true
		}
	}
	return l
}
