package pack

import (
	"fmt"
	"strings"
)

// unknown returns the text about a name that is none of known: the nearest one if it may have been meant, else all.
func unknown(kind, name string, known []string) string {
	if near, ok := Nearest(name, known); ok {
		return fmt.Sprintf("unknown %s %q: did you mean %q?", kind, name, near)
	}
	if len(known) == 0 {
		return fmt.Sprintf("unknown %s %q: there is none", kind, name)
	}
	return fmt.Sprintf("unknown %s %q: known are %s", kind, name, strings.Join(known, ", "))
}

// Nearest returns the known name with the fewest edits, unless that is more than a third of the name's length.
func Nearest(name string, known []string) (string, bool) {
	if len(name) > 100 {
		return "", false
	}
	best, found := len(name)/3+2, ""
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < best {
			best, found = d, k
		}
	}
	return found, found != ""
}

// distance counts the insertions, deletions, replacements and swaps of neighbours between a and b (optimal string
// alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before []int
	last := make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row := make([]int, len(t)+1)
		row[0] = i + 1
		for j := range t {
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+differ(s[i], t[j]))
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(t)]
}

func differ(a, b rune) int {
	if a == b {
		return 0
	}
	return 1
}
