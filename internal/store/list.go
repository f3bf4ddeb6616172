package store

import (
	"math/bits"
	"strings"
)

// A statement about several rows has its list padded with NULLs, which match nothing, to a power of two: each length is
// a statement of its own, which every connection prepares once, and so there are few of them.

func padded(n int) int { return 1 << bits.Len(uint(n-1)) }

// inList returns a list for IN, of parameters that follow those in args, and args with them.
func inList[T any](args []any, values []T) (string, []any) {
	marks := make([]string, padded(len(values)))
	for i := range marks {
		if i < len(values) {
			args = append(args, values[i])
		} else {
			args = append(args, nil)
		}
		marks[i] = placeholder(len(args))
	}
	return "(" + strings.Join(marks, ", ") + ")", args
}

// valuesList returns rows as VALUES, of parameters that follow those in args, and args with them. The first row names
// the types of the columns, which PostgreSQL does not find out by itself.
func valuesList(args []any, rows [][]any, types ...string) (string, []any) {
	none := make([]any, len(types))
	lines := make([]string, padded(len(rows)))
	for i := range lines {
		row := none
		if i < len(rows) {
			row = rows[i]
		}
		marks := make([]string, len(row))
		for j, value := range row {
			args = append(args, value)
			marks[j] = placeholder(len(args))
			if i == 0 {
				marks[j] = "CAST(" + marks[j] + " AS " + types[j] + ")"
			}
		}
		lines[i] = "(" + strings.Join(marks, ", ") + ")"
	}
	return "VALUES " + strings.Join(lines, ", "), args
}
