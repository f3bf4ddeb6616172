package secret_test

import (
	"bytes"
	"encoding/base64"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// Here the encodings are read once more, in the plainest way, as a judge of the masker.

// legible tells whether a value can be read in a text, in any encoding and however wrapped. With forms, + may be a
// blank.
func legible(text, value string, forms bool) bool {
	text = unblanked(text)
	escaped := unescaped(text)
	plus := "+"
	if forms {
		plus = " "
	}
	for _, readable := range []string{text, unpercented(text, "+"), unpercented(text, plus), escaped} {
		if strings.Contains(unblanked(readable), unblanked(value)) {
			return true
		}
	}
	resolved := unblanked(unpercented(escaped, "+"))
	return inHex(text, value) || inBase64(text, value) || inHex(resolved, value) || inBase64(resolved, value)
}

// leaks tells whether a value can be read in a masked text. One that itself looks like an escape has other readings
// where it overlaps with another occurrence, of which one is gone; it must not be there as it is.
func leaks(masked, value string, forms bool) bool {
	if strings.ContainsAny(value, `%\`) {
		return strings.Contains(unblanked(masked), unblanked(value))
	}
	return legible(masked, value, forms)
}

func unblanked(text string) string {
	return strings.NewReplacer(" ", "", "\n", "", "\r", "", "\t", "").Replace(text)
}

func unpercented(text, plus string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if b, err := strconv.ParseUint(text[min(i+1, len(text)):min(i+3, len(text))], 16, 8); text[i] == '%' && i+3 <= len(text) && err == nil {
			out.WriteByte(byte(b))
			i += 2
			continue
		}
		if text[i] == '+' {
			out.WriteString(plus)
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

var (
	pairEscape  = regexp.MustCompile(`^\\u([dD][89abAB][[:xdigit:]]{2})\\u([dD][c-fC-F][[:xdigit:]]{2})`)
	unitEscape  = regexp.MustCompile(`^\\u([[:xdigit:]]{4})`)
	byteEscape  = regexp.MustCompile(`^\\x([[:xdigit:]]{2})`)
	shortEscape = regexp.MustCompile(`^\\["\\/'bfnrt]`)
	hexBytes    = regexp.MustCompile(`^[[:xdigit:]]{2}(?:(?:[:,-]|\\x?)?[[:xdigit:]]{2})*`)
	hexByte     = regexp.MustCompile(`(?:[:,-]|\\x?)?([[:xdigit:]]{2})`)
	base64Run   = regexp.MustCompile(`[A-Za-z0-9+/_-]+`)
)

func unescaped(text string) string {
	var out strings.Builder
	for len(text) > 0 {
		n := 1
		if m := pairEscape.FindStringSubmatch(text); m != nil {
			n = len(m[0])
			out.WriteRune(utf16.DecodeRune(rune(number(m[1])), rune(number(m[2]))))
		} else if m := unitEscape.FindStringSubmatch(text); m != nil {
			n = len(m[0])
			if u := number(m[1]); u >= 0xdc80 && u <= 0xdcff {
				out.WriteByte(byte(u))
			} else {
				out.WriteRune(rune(u))
			}
		} else if m := byteEscape.FindStringSubmatch(text); m != nil {
			n = len(m[0])
			out.WriteByte(byte(number(m[1])))
		} else if m := shortEscape.FindString(text); m != "" {
			n = len(m)
			out.WriteString(shorts.Replace(m[1:]))
		} else {
			out.WriteByte(text[0])
		}
		text = text[n:]
	}
	return out.String()
}

// shorts are the escapes that don't stand for what follows the backslash.
var shorts = strings.NewReplacer("b", "\b", "f", "\f", "n", "\n", "r", "\r", "t", "\t")

func number(digits string) uint64 {
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		panic(err)
	}
	return n
}

func inHex(text, value string) bool {
	for i := range len(text) {
		var read []byte
		for _, m := range hexByte.FindAllStringSubmatch(hexBytes.FindString(text[i:]), -1) {
			read = append(read, byte(number(m[1])))
		}
		if bytes.HasPrefix(read, []byte(value)) {
			return true
		}
	}
	return false
}

func inBase64(text, value string) bool {
	for _, run := range base64Run.FindAllString(strings.NewReplacer("-", "+", "_", "/").Replace(text), -1) {
		for i := range 4 { // digits before may be lost
			group := "AAAA"[:i] + run
			if len(group)%4 == 1 {
				group = group[:len(group)-1]
			}
			read, err := base64.RawStdEncoding.DecodeString(group)
			if known := (6*i + 7) / 8; err == nil && len(read) > known && bytes.Contains(read[known:], []byte(value)) {
				return true
			}
		}
	}
	return false
}

func FuzzMasker(f *testing.F) {
	names := slices.Sorted(maps.Keys(encodings))
	for i, value := range samples {
		for j := range names {
			f.Add(value, "a second one", "key=|& \\ %2 ", uint8(j), uint8(i*j), uint64(i+j))
		}
	}
	f.Add("hunter22", "ter22hun", "hunter22hunter22 hunter2 aHVudGVy", uint8(0), uint8(0), uint64(1))
	f.Fuzz(func(t *testing.T, one, two, around string, how, wrap uint8, seed uint64) {
		if len(one)+len(two)+len(around) > 500 {
			return
		}
		random := rand.New(rand.NewPCG(seed, 1))
		encoded := encodings[names[int(how)%len(names)]](one)
		if wrap > 0 {
			encoded = wrapped(encoded, int(wrap), []string{"\n", "\r\n", "\n  "}[seed%3])
		}
		at := random.IntN(len(around) + 1)
		text := around[:at] + encoded + around[at:]
		m := masker(one, two)
		got := masked(m, text)
		if by := streamed(t, m, single(text)...); by != got {
			t.Errorf("values %q, %q in %q:\n byte by byte %q\n       whole %q", one, two, text, by, got)
		}
		if by := streamed(t, m, pieces(random, text)...); by != got {
			t.Errorf("values %q, %q in %q:\n in pieces %q\n     whole %q", one, two, text, by, got)
		}
		forms := strings.Contains(one+two, " ")
		for _, value := range []string{one, two} {
			if value = strings.TrimRight(value, "\r\n"); len(value) >= 8 && len(unblanked(value)) >= 6 && !strings.Contains(value, "*") && leaks(got, value, forms) {
				t.Errorf("values %q, %q in %q: can be read in %q", one, two, text, got)
			}
		}
		if simple(one) && simple(two) && !legible(text, one, forms) && !legible(text, two, forms) && got != text {
			t.Errorf("neither %q nor %q is in %q, but masked is %q", one, two, text, got)
		}
	})
}

// simple tells whether a value is looked for as it is only, and not in parts.
func simple(value string) bool {
	return utf8.ValidString(value) && strings.TrimSpace(value) == value && !strings.ContainsAny(value, "\n{[\"")
}

func pieces(random *rand.Rand, text string) (all []string) {
	for len(text) > 0 {
		n := 1 + random.IntN(min(len(text), 40))
		all, text = append(all, text[:n]), text[n:]
	}
	return all
}

// Texts of few tokens, among them whole and broken escapes and encoded pieces of the values, meet the filter's corners
// more often than a fuzzer does.
func TestMaskerOnFewTokens(t *testing.T) {
	t.Parallel()
	rounds := 3000
	if n, err := strconv.Atoi(os.Getenv("ATTUNE_TEST_ROUNDS")); err == nil {
		rounds = n
	}
	const seed = 7
	random := rand.New(rand.NewPCG(seed, uint64(rounds)))
	names := slices.Sorted(maps.Keys(encodings))
	for range rounds {
		value := tokens(random, []string{"a", "b", "A", "0", "6", "1", "a", "aa", "%", `\`, "+", " ", `"`, "/", "Y"}, 8, 12)
		if len(unblanked(value)) < 6 || strings.TrimSpace(value) != value || value[0] == '"' {
			continue
		}
		encoded := encodings[names[random.IntN(len(names))]](value)
		at := random.IntN(len(encoded) + 1)
		text := tokens(random, []string{
			value, encoded, encoded, encoded[:at], encoded[at:], value[:4], value[4:], "a", "b", "A", "0", "6", "1", "%", `\`, "+", "%20", "%6", "%61",
			`\n`, `\"`, `\\`, `\u0061`, `\u`, `\x61`, ":", "-", " ", "\n", "!", "YWFh", "6161",
		}, 1, 12)
		m := masker(value)
		got := masked(m, text)
		if by := streamed(t, m, single(text)...); by != got {
			t.Fatalf("%q in %q:\n byte by byte %q\n       whole %q", value, text, by, got)
		}
		if by := streamed(t, m, pieces(random, text)...); by != got {
			t.Fatalf("%q in %q:\n in pieces %q\n     whole %q", value, text, by, got)
		}
		if leaks(got, value, strings.Contains(value, " ")) {
			t.Fatalf("%q in %q: can be read in %q", value, text, got)
		}
		if !legible(text, value, strings.Contains(value, " ")) && got != text {
			t.Fatalf("%q is not in %q, but masked is %q", value, text, got)
		}
	}
}

// tokens joins some of them.
func tokens(random *rand.Rand, all []string, least, most int) string {
	var out strings.Builder
	for range least + random.IntN(most-least+1) {
		out.WriteString(all[random.IntN(len(all))])
	}
	return out.String()
}
