package pack

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/attune-automation/attune"
)

// maxDetails bounds what one error lists: a thousand faults of one file help nobody.
const maxDetails = 100

// place is where a fault lies. Line and column count from 1; a line of 0 means the whole file.
type place struct {
	file         string
	line, column int
}

// String returns file:line:column, as compilers print it and editors open it.
func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.file, o.file), cmp.Compare(p.line, o.line), cmp.Compare(p.column, o.column))
}

// remark is one fault or one warning.
type remark struct {
	place   place
	message string
}

// report collects what is wrong or in vain, so that its reader learns of everything at once.
type report struct {
	faults   []remark
	warnings []remark
}

func (r *report) fail(p place, format string, args ...any) {
	r.faults = append(r.faults, remark{p, fmt.Sprintf(format, args...)})
}

func (r *report) warn(p place, format string, args ...any) {
	r.warnings = append(r.warnings, remark{p, fmt.Sprintf(format, args...)})
}

// err returns all faults as one error that begins with what, nil if there is none.
func (r *report) err(what string) error {
	if len(r.faults) == 0 {
		return nil
	}
	found := details(r.faults)
	if hidden := len(found) - maxDetails; hidden > 0 {
		found = append(found[:maxDetails:maxDetails], attune.Detail{Message: fmt.Sprintf("and %d more", hidden)})
	}
	return &attune.Error{Code: attune.CodeInvalid, Message: what, Details: found}
}

// details returns the remarks in the order of their places, each once.
func details(remarks []remark) []attune.Detail {
	sorted := slices.SortedStableFunc(slices.Values(remarks), func(a, b remark) int {
		return cmp.Or(a.place.compare(b.place), cmp.Compare(a.message, b.message))
	})
	var found []attune.Detail
	for _, r := range slices.Compact(sorted) {
		found = append(found, attune.Detail{Place: r.place.String(), Message: r.message})
	}
	return found
}
