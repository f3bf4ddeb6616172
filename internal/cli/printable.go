package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// steers tells whether a terminal may take a character for an order: to move, to colour, to write from right to left, or to
// begin a line that is none.
func steers(c rune) bool {
	return c < ' ' || c >= 0x7f && c < 0xa0 || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
}

// printable keeps what steers a terminal off it, wherever users and actions wrote it.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if steers(c) {
			return ' '
		}
		return c
	}, text)
}

// printableLines is printable for a text that has lines. Those after the first one are set in, so that none passes for a
// message of its own.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
		if i > 0 && lines[i] != "" && lines[i][0] != ' ' {
			lines[i] = "  " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// plainJSON escapes what JSON need not escape and a terminal obeys. An encoder writes whole values, so that no character
// is in two parts.
type plainJSON struct{ w io.Writer }

// Write writes a JSON text.
func (p plainJSON) Write(text []byte) (int, error) {
	var escaped strings.Builder
	for _, c := range string(text) {
		if c != '\n' && steers(c) { // of the others below U+0020 an encoder leaves none
			fmt.Fprintf(&escaped, `\u%04x`, c)
			continue
		}
		escaped.WriteRune(c)
	}
	if _, err := io.WriteString(p.w, escaped.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}
