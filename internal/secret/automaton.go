package secret

import (
	"bytes"
	"slices"
)

// automaton finds patterns by the algorithm of Aho and Corasick. A state is the longest end of what was read that a
// pattern begins with. States are numbered by depth, and the children of one are neighbours, so that one of a long
// pattern costs some bytes only.
type automaton struct {
	top   [256]int32 // the states that the first one leads to
	label []byte     // the byte that leads to a state
	child []int32    // those of s are child[s] to child[s+1]
	fail  []int32    // the state that is left when the first bytes of it are forgotten
	depth []int32
	found []int32 // the length of the longest pattern that ends here, or 0

	second, deep int32 // the first states of two symbols, and of a gram
}

// reach is the patterns, of a sorted list, that go through a state.
type reach struct{ from, to int32 }

func newAutomaton(patterns [][]byte) *automaton {
	slices.SortFunc(patterns, bytes.Compare)
	most := 1
	for _, p := range patterns {
		most += len(p)
	}
	a := &automaton{
		label: make([]byte, 0, most), child: make([]int32, 0, most+1), depth: make([]int32, 0, most), found: make([]int32, 0, most),
	}
	through := a.grown(make([]reach, 0, most), 0, 0, reach{0, int32(len(patterns))})
	for s := 0; s < len(through); s++ {
		a.child = append(a.child, int32(len(through)))
		through = a.grow(s, patterns, through)
	}
	a.child = append(a.child, int32(len(through)))
	a.fail = make([]int32, len(through))
	for s := range int32(len(through)) {
		a.link(s)
	}
	a.second, a.deep = a.from(2), a.from(gramSize)
	return a
}

// from returns the first state of a depth.
func (a *automaton) from(depth int32) int32 {
	s, _ := slices.BinarySearch(a.depth, depth)
	return int32(s)
}

// grow appends the children of a state.
func (a *automaton) grow(s int, patterns [][]byte, through []reach) []reach {
	depth, at := a.depth[s], through[s]
	for at.from < at.to && len(patterns[at.from]) == int(depth) {
		a.found[s] = depth
		at.from++
	}
	for at.from < at.to {
		c, next := patterns[at.from][depth], at.from
		for next < at.to && patterns[next][depth] == c {
			next++
		}
		through = a.grown(through, c, depth+1, reach{at.from, next})
		at.from = next
	}
	return through
}

func (a *automaton) grown(through []reach, label byte, depth int32, at reach) []reach {
	a.label, a.depth, a.found = append(a.label, label), append(a.depth, depth), append(a.found, 0)
	return append(through, at)
}

// link sets where the children of a state fail to, which is never as deep as they are.
func (a *automaton) link(s int32) {
	for t := a.child[s]; t < a.child[s+1]; t++ {
		if s == 0 {
			a.top[a.label[t]] = t
			continue
		}
		a.fail[t] = a.next(a.fail[s], a.label[t])
		if a.found[t] == 0 {
			a.found[t] = a.found[a.fail[t]]
		}
	}
}

// next returns the state that a byte leads to. It takes constant time on average over a text, whatever the text.
func (a *automaton) next(s int32, c byte) int32 {
	for s != 0 {
		for t, end := a.child[s], a.child[s+1]; t < end; t++ {
			if a.label[t] == c {
				return t
			}
		}
		s = a.fail[s]
	}
	return a.top[c]
}

// ends tells whether no pattern goes on from a state: it is as good as the one that it fails to.
func (a *automaton) ends(s int32) bool { return s != 0 && a.child[s] == a.child[s+1] }

// begins tells whether a pattern begins with a byte.
func (a *automaton) begins(c byte) bool { return a.top[c] != 0 }

func (a *automaton) empty() bool { return len(a.label) == 1 }
