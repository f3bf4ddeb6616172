package secret

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"

	"github.com/attune-automation/attune"
)

// MinMaskable is how many bytes a value has to have: a shorter one is not masked, nor one that is nearly all blanks.
const MinMaskable = attune.MinMaskedBytes

// Mask is what a value is replaced by.
const Mask = attune.Mask

// What is wrapped and indented is found up to these bounds, which keep what a Writer holds back finite.
const (
	mostStretched = 32 // times as long as the value
	mostExtra     = 4 << 10
	mostBlanks    = 512 // in a row
)

// Masker finds the values that an execution was given in what it writes, and replaces each by Mask. It finds them as
// they are, and in these encodings: base64, the standard and the URL alphabet, alone or amid other bytes; hex, also
// with one of : - , or \x between bytes; percent-encoding; the escapes of JSON, and \xXX. Only some characters may be
// encoded; base64 and hex may be escaped in turn. Blanks and line ends count for nothing, so that it doesn't matter
// how a value was wrapped or indented. It doesn't change, and is safe for concurrent use.
//
// It does not find what is compressed, reversed, in another character set, in decimal bytes, or encoded twice in other
// ways; nor a part of a value that is none of its lines or leaves; nor one with other text in it, as in a hex dump with
// offsets, or in lines that each have a time. Whoever writes the action can get a value past it: it is against accidents.
type Masker struct {
	texts      *automaton // of the values without blanks
	bytes      *automaton // of the values
	leads      *leads
	filter     *filter
	forms      bool  // + may be a blank in one
	longest    int64 // what a value takes in the text, at most
	mostBlanks int   // in a row
}

// NewMasker returns a Masker for these values, for each of their lines, and for the strings and numbers in a value that
// is a JSON object or array, as far as they have MinMaskable bytes.
func NewMasker(of ...[]byte) *Masker {
	var v values
	for _, value := range of {
		v.add(bytes.Clone(value))
	}
	v.all = unique(v.all)
	texts := v.texts()
	length, blanks := v.longest()
	m := &Masker{texts: newAutomaton(texts), forms: v.contain(' '), mostBlanks: mostBlanks + blanks}
	m.longest = int64(mostStretched*length + mostExtra)
	m.bytes = m.texts
	if blanks > 0 {
		m.bytes = newAutomaton(v.all)
	}
	m.leads = newLeads(m.bytes)
	m.filter = newFilter(texts, v.all, m.forms)
	return m
}

// Empty tells whether there is nothing to mask.
func (m *Masker) Empty() bool { return m.texts.empty() }

// Mask masks a whole text, and returns in how many places: the same slice if in none.
func (m *Masker) Mask(text []byte) (masked []byte, places int) {
	if m.Empty() {
		return text, 0
	}
	s := newSearch(m)
	s.run(text, 0, 0)
	s.finish()
	if len(s.spans) == 0 {
		return text, 0
	}
	p := passage{}
	p.pass(&s.spans, text, 0, int64(len(text)))
	return p.out, int(p.places)
}

// Writer returns a writer that masks what it passes on to w.
func (m *Masker) Writer(w io.Writer) *Writer {
	return &Writer{w: w, search: newSearch(m), idle: m.Empty()}
}

// Format keeps the values out of whatever is printed.
func (m *Masker) Format(s fmt.State, _ rune) { hide(s) }

// LogValue keeps the values out of logs.
func (m *Masker) LogValue() slog.Value { return slog.StringValue("secret") }
