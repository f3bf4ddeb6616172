package secret

// span is a part of the text that has to be masked.
type span struct{ start, end int64 }

// spans are in order, and neither overlap nor touch.
type spans []span

// add joins a span with those that it touches. It ends where the last one does, or later.
func (s *spans) add(start, end int64) {
	for len(*s) > 0 && start <= (*s)[len(*s)-1].end {
		last := (*s)[len(*s)-1]
		start, end = min(start, last.start), max(end, last.end)
		*s = (*s)[:len(*s)-1]
	}
	*s = append(*s, span{start, end})
}
