package secret

// search finds the values in a text of which a part after the other is there. It sleeps where none can begin.
type search struct {
	*reader
	awake bool
}

func newSearch(m *Masker) *search { return &search{reader: newReader(m)} }

// run searches a part of the text, which begins at base. It was searched before as far as from.
func (s *search) run(part []byte, base int64, from int) {
	for i := from; i < len(part); {
		if !s.awake {
			i = s.wake(part, base, i)
		}
		for ; i < len(part) && !s.quiet(); i++ {
			s.read(part[i], base+int64(i))
		}
		s.awake = i == len(part)
	}
}

// wake goes to where a value may have begun, or to the last symbols, of which the next part might make one. It returns
// how far it has read.
func (s *search) wake(part []byte, base int64, from int) int {
	f := s.m.filter
	at := f.find(part, from)
	to := min(at+1, len(part))
	s.reset()
	s.blanks = 0
	for i := f.begin(part, at, lookBack); i < to; i++ {
		s.read(part[i], base+int64(i))
	}
	return to
}
