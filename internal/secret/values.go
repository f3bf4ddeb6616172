package secret

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// leastSolid is how many bytes that are no blanks a value has to have: with fewer it would be found everywhere.
const leastSolid = 6

// values are the texts to look for.
type values struct{ all [][]byte }

// add adds a value, and what of it may turn up alone: without the blanks around it, each of its lines, and the leaves
// of a JSON text.
func (v *values) add(value []byte) {
	v.one(bytes.TrimRight(value, "\r\n"))
	v.one(bytes.TrimSpace(value))
	v.one(readable(value))
	for line := range bytes.Lines(value) {
		v.one(bytes.TrimRight(line, "\r\n"))
		v.one(bytes.TrimSpace(line))
	}
	v.leaves(value)
}

func (v *values) one(value []byte) {
	if !long(value) {
		return
	}
	v.all = append(append(v.all, value), shellForms(value)...)
}

func long(value []byte) bool { return len(value) >= MinMaskable && len(squeeze(value)) >= leastSolid }

// Maskable tells whether a value is long enough to be masked as a whole: it has MinMaskable bytes, not counting line breaks
// at its end, and six of them are no blanks.
func Maskable(value []byte) bool { return long(bytes.TrimRight(value, "\r\n")) }

// shellForms are a value as a shell quotes it in what set -x shows, and as printf %q does.
func shellForms(value []byte) (forms [][]byte) {
	if bytes.ContainsAny(value, "'") {
		forms = append(forms, bytes.ReplaceAll(value, []byte("'"), []byte(`'\''`)))
	}
	var escaped []byte
	for _, c := range value {
		if strings.IndexByte(" !\"#$&'()*;<>?[\\]^`{|}~,", c) >= 0 {
			escaped = append(escaped, '\\')
		}
		escaped = append(escaped, c)
	}
	if len(escaped) > len(value) && !bytes.ContainsAny(value, "\n\r\t") {
		forms = append(forms, escaped)
	}
	return forms
}

// readable returns a value that is no text as an encoder for text writes it, nil if little of it is left.
func readable(value []byte) []byte {
	if utf8.Valid(value) {
		return nil
	}
	var text []byte
	kept := 0
	for rest := value; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r != utf8.RuneError {
			kept += n
		}
		text, rest = utf8.AppendRune(text, r), rest[n:]
	}
	if kept < MinMaskable {
		return nil
	}
	return bytes.TrimRight(text, "\r\n")
}

// leaves adds the strings and numbers in a JSON object or array, or in a string.
func (v *values) leaves(value []byte) {
	if text := bytes.TrimSpace(value); len(text) == 0 || strings.IndexByte(`{["`, text[0]) < 0 || !json.Valid(text) {
		return
	}
	tokens := json.NewDecoder(bytes.NewReader(value))
	tokens.UseNumber()
	var within []json.Delim
	isName := false // in an object, every other string is a name
	for {
		token, err := tokens.Token()
		if err != nil {
			return
		}
		switch leaf := token.(type) {
		case json.Delim:
			within = nest(within, leaf)
		case string:
			if !isName {
				v.add([]byte(leaf))
			}
		case json.Number:
			v.one([]byte(leaf))
		}
		_, nested := token.(json.Delim)
		isName = len(within) > 0 && within[len(within)-1] == '{' && (nested || !isName)
	}
}

func nest(within []json.Delim, d json.Delim) []json.Delim {
	if d == '{' || d == '[' {
		return append(within, d)
	}
	return within[:len(within)-1]
}

// texts returns the values without blanks, each of them once.
func (v *values) texts() [][]byte {
	var texts [][]byte
	for _, value := range v.all {
		texts = append(texts, squeeze(value))
	}
	return unique(texts)
}

func unique(all [][]byte) [][]byte {
	slices.SortFunc(all, bytes.Compare)
	return slices.CompactFunc(all, bytes.Equal)
}

func squeeze(value []byte) []byte {
	solid := make([]byte, 0, len(value))
	for _, c := range value {
		if !blank(c) {
			solid = append(solid, c)
		}
	}
	return solid
}

// longest returns the length of the longest value, and that of the longest run of blanks in one.
func (v *values) longest() (length, blanks int) {
	for _, value := range v.all {
		length = max(length, len(value))
		run := 0
		for _, c := range value {
			if run++; !blank(c) {
				run = 0
			}
			blanks = max(blanks, run)
		}
	}
	return length, blanks
}

func (v *values) contain(c byte) bool {
	return slices.ContainsFunc(v.all, func(value []byte) bool { return bytes.IndexByte(value, c) >= 0 })
}
