package secret

// symbol is a decoded byte, and where in the text its encoding is.
type symbol struct {
	b          byte
	start, end int64
}

// track reads one decoding of the text through an automaton.
type track struct {
	state  int32
	starts []int64 // of the last symbols, a ring: as many as the state is deep, or more
	count  int
}

// step reads a symbol, and tells where a value is that ends with it. What is longer than most is none.
func (t *track) step(a *automaton, in symbol, most int64) (start int64, ok bool) {
	t.state = a.next(t.state, in.b)
	if t.state == 0 {
		return 0, false
	}
	t.push(in.start, int(a.depth[t.state]))
	t.shorten(a, in.end-most)
	n := a.found[t.state]
	if n == 0 {
		return 0, false
	}
	start = t.start(n)
	for a.ends(t.state) {
		t.state = a.fail[t.state]
	}
	return start, true
}

// shorten forgets what began before a place.
func (t *track) shorten(a *automaton, least int64) {
	for t.state != 0 && t.start(a.depth[t.state]) < least {
		t.state = a.fail[t.state]
	}
}

// start returns where the last n symbols begin.
func (t *track) start(n int32) int64 {
	return t.starts[(t.count-int(n))&(len(t.starts)-1)]
}

func (t *track) push(start int64, depth int) {
	for depth > len(t.starts) {
		t.enlarge()
	}
	t.starts[t.count&(len(t.starts)-1)] = start
	t.count++
}

// copy makes t the same as another track, as far as that matters.
func (t *track) copy(a *automaton, from *track) {
	t.state, t.count = from.state, 0
	for depth := a.depth[from.state]; depth > 0; depth-- {
		t.push(from.start(depth), int(a.depth[from.state]))
	}
}

func (t *track) enlarge() {
	larger := make([]int64, max(32, 2*len(t.starts)))
	for i := t.count - len(t.starts); i < t.count; i++ {
		larger[i&(len(larger)-1)] = t.starts[i&(len(t.starts)-1)]
	}
	t.starts = larger
}

// live returns where begins what may become a value, of which there are at least so many bytes, and at, the end of the
// text so far, if nothing does.
func (t *track) live(a *automaton, at, most int64, least int32) int64 {
	t.shorten(a, at-most)
	if a.depth[t.state] < least {
		return at
	}
	return t.start(a.depth[t.state])
}
