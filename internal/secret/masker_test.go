package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/attune-automation/attune/internal/secret"
)

const mask = secret.Mask

func masker(values ...string) *secret.Masker {
	var all [][]byte
	for _, v := range values {
		all = append(all, []byte(v))
	}
	return secret.NewMasker(all...)
}

// masked returns the text as Mask masks it.
func masked(m *secret.Masker, text string) string {
	out, _ := m.Mask([]byte(text))
	return string(out)
}

// streamed returns the text as a Writer masks it that gets these parts.
func streamed(t *testing.T, m *secret.Masker, parts ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := m.Writer(&out)
	for _, part := range parts {
		if n, err := io.WriteString(w, part); n != len(part) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// single returns the bytes of a text.
func single(text string) (bytes []string) {
	for i := range len(text) {
		bytes = append(bytes, text[i:i+1])
	}
	return bytes
}

// solid returns a text without blanks and line ends.
func solid(text string) string { return strings.Join(strings.Fields(text), "") }

// everySplit checks that the text is masked so, whole, byte by byte, and in two parts.
func everySplit(t *testing.T, m *secret.Masker, text, want string) {
	t.Helper()
	if got := masked(m, text); got != want {
		t.Errorf("Mask of %q:\n got %q\nwant %q", text, got, want)
		return
	}
	if got := streamed(t, m, single(text)...); got != want {
		t.Errorf("byte by byte, %q:\n got %q\nwant %q", text, got, want)
	}
	for i := range len(text) + 1 {
		if got := streamed(t, m, text[:i], text[i:]); got != want {
			t.Errorf("split at %d, %q:\n got %q\nwant %q", i, text, got, want)
			return
		}
	}
}

func TestKnownAnswers(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t/Pa?s+w0rd>"
	for text, want := range map[string]string{
		"":                               "",
		"nothing to see, s3cr3t/Pa?s+w0": "nothing to see, s3cr3t/Pa?s+w0",
		"x" + value + "y":                "x" + mask + "y",
		value:                            mask,
		value + value:                    mask, // joined
		value + "." + value:              mask + "." + mask,
		// base64, alone and after one and two other bytes
		"czNjcjN0L1BhP3MrdzByZD4=":        mask + "=",
		"czNjcjN0L1BhP3MrdzByZD4":         mask,
		"YXMzY3IzdC9QYT9zK3cwcmQ-Yg==":    "Y" + mask + "Yg==",
		"YWFzM2NyM3QvUGE/cyt3MHJkPmI=":    "YW" + mask + "I=",
		"YWFzM2NyM3QvUGE_cyt3MHJkPmI=":    "YW" + mask + "I=",
		"AAAA/czNjcjN0L1BhP3MrdzByZD4===": "AAAA/" + mask + "===",
		// percent-encoding
		"?a=s3cr3t%2FPa%3Fs%2Bw0rd%3E&b=c":                     "?a=" + mask + "&b=c",
		"?a=s3cr3t/Pa?s%2bw0rd%3e&b=c":                         "?a=" + mask + "&b=c",
		"%73%33%63%72%33%74%2f%50%61%3f%73%2b%77%30%72%64%3E%": mask + "%",
		"100%s3cr3t/Pa?s+w0rd>%":                               "100%" + mask + "%",
		// JSON
		`{"a":"s3cr3t\/Pa?s+w0rd\u003e"}`:  `{"a":"` + mask + `"}`,
		`{"a":"\u00733cr3t/Pa?s+w0rd>\n"}`: `{"a":"` + mask + `\n"}`,
		// hex
		"7333637233742f50613f732b773072643e":                                                    mask,
		"7333637233742F50613F732B773072643E0a":                                                  mask + "0a",
		"07333637233742f50613f732b773072643e0a":                                                 "0" + mask + "0a",
		"73:33:63:72:33:74:2f:50:61:3f:73:2b:77:30:72:64:3e:00":                                 mask + ":00",
		"73 33 63 72 33 74 2f 50  61 3f 73 2b 77 30 72 64\n 3e |s3cr|":                          mask + " |s3cr|",
		`\x73\x33\x63\x72\x33\x74\x2f\x50\x61\x3f\x73\x2b\x77\x30\x72\x64\x3e`:                  mask,
		`\\x73\\x33\\x63\\x72\\x33\\x74\\x2f\\x50\\x61\\x3f\\x73\\x2b\\x77\\x30\\x72\\x64\\x3e`: `\\x` + mask,
		// wrapped
		"x s3cr3\n   t/Pa?s\r\n   +w0rd> y": "x " + mask + " y",
		"czNjcjN0L1\nBhP3MrdzBy\nZD4=\n":    mask + "=\n",
		// escaped in turn
		`"czNjcjN0L1BhP3\nMrdzByZD4\u003d"`: `"` + mask + `\u003d"`,
		"YWFzM2NyM3QvUGE%2Fcyt3MHJkPmI%3D":  "YW" + mask + "I%3D",
	} {
		everySplit(t, masker(value), text, want)
	}
}

// encodings are ways in which a program writes a value.
var encodings = map[string]func(string) string{
	"raw":             func(v string) string { return v },
	"base64":          func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
	"base64 after 1":  func(v string) string { return base64.StdEncoding.EncodeToString([]byte("\x00" + v + "\xff")) },
	"base64 after 2":  func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte("\xff\xff" + v)) },
	"base64 URL":      func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) },
	"query":           url.QueryEscape,
	"path":            url.PathEscape,
	"percent":         func(v string) string { return each(v, "%%%02x") },
	"JSON":            func(v string) string { return quoted(v, true) },
	"JSON of Python":  func(v string) string { return quoted(v, false) },
	`\u`:              units,
	`\x`:              func(v string) string { return each(v, `\x%02x`) },
	"hex":             func(v string) string { return hex.EncodeToString([]byte(v)) },
	"HEX":             func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) },
	"hex with colons": func(v string) string { return strings.TrimSuffix(each(v, "%02X:"), ":") },
	"hex dump":        func(v string) string { return each(v, "%02x ") },
}

func each(v, format string) string {
	var out strings.Builder
	for _, b := range []byte(v) {
		fmt.Fprintf(&out, format, b)
	}
	return out.String()
}

func quoted(v string, html bool) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(html)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// units writes each UTF-16 unit as \uXXXX, in either case by turns.
func units(v string) string {
	var out strings.Builder
	for i, u := range utf16.Encode([]rune(v)) {
		fmt.Fprintf(&out, []string{`\u%04x`, `\u%04X`}[i%2], u)
	}
	return out.String()
}

// wrapped breaks a text every n bytes.
func wrapped(text string, n int, end string) string {
	var out strings.Builder
	for len(text) > n {
		out.WriteString(text[:n] + end)
		text = text[n:]
	}
	return out.String() + text
}

var samples = []string{
	"hunter22", `a"b\c/d<e>&f'`, "pass word with  blanks", "grün-straße-€-😀-𝄞", "tab\there\nand\nlines",
	"\x00\x01\x02binary\xf8\xf9", "+++++/////??>>", "aaaaaaaaaaaa", "%41%42%43%44", `\u0041\n\\\"`, "0123456789abcdef",
	"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n",
}

func TestEveryEncodingAtEverySplit(t *testing.T) {
	t.Parallel()
	for _, value := range samples {
		m := masker(value)
		for name, encode := range encodings {
			if !utf8.ValidString(value) && (strings.HasPrefix(name, "JSON") || name == `\u`) {
				continue // can't be written so
			}
			for _, around := range [][2]string{{"", ""}, {"password: ", "\n"}, {"z", "|"}} {
				encoded := encode(strings.TrimRight(value, "\n"))
				text := around[0] + encoded + around[1]
				got := masked(m, text)
				if !strings.Contains(got, mask) || len(got) > len(around[0]+around[1]+mask)+5 {
					t.Errorf("%s of %q: %q masked is %q", name, value, text, got)
				}
				if around[1] == "\n" {
					everySplit(t, m, text, got)
				}
			}
		}
	}
}

func TestEveryEncodingWrapped(t *testing.T) {
	t.Parallel()
	for _, value := range samples {
		m := masker(value)
		for name, encode := range encodings {
			if !utf8.ValidString(value) && (strings.HasPrefix(name, "JSON") || name == `\u`) {
				continue
			}
			for _, n := range []int{1, 2, 3, 5, 8, 13, 64, 76} {
				for _, end := range []string{"\n", "\r\n", "\n    ", "\r\n\t"} {
					text := "> " + wrapped(encode(strings.TrimRight(value, "\n")), n, end)
					got := masked(m, text)
					if !strings.Contains(got, mask) || len(solid(got)) > len(">"+mask)+5 {
						t.Errorf("%s of %q: %q masked is %q", name, value, text, got)
					}
					if by := streamed(t, m, single(text)...); by != got {
						t.Errorf("%s of %q: %q byte by byte is %q, whole %q", name, value, text, by, got)
					}
				}
			}
		}
	}
}

func TestWhatIsMaskableIsMasked(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"hunter22": true, "hunter2": false, "hunter2\n": false, "hunter22\n": true, "a b c d e": false, "a b c d e f": true,
		"        ": false, "abc\ndef\n": false, "": false,
	} {
		if got := secret.Maskable([]byte(value)); got != want || secret.NewMasker([]byte(value)).Empty() == want {
			t.Errorf("%q: maskable is %v, want %v, and that its masker is empty %v", value, got, want, !want)
		}
	}
}

func TestMaskKnowsWhatShellsWrite(t *testing.T) {
	t.Parallel()
	for value, text := range map[string]string{
		`it's-a-long-secret`: `+ : 'it'\''s-a-long-secret'`, `p@ss w&rd/$x`: `p@ss\ w\&rd/\$x`,
	} {
		if got, places := secret.NewMasker([]byte(value)).Mask([]byte(text)); places != 1 || !strings.Contains(string(got), secret.Mask) {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}
