package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/attune-automation/attune/internal/secret"
)

func TestNothingToMask(t *testing.T) {
	t.Parallel()
	for _, values := range [][]string{nil, {""}, {"1234567"}, {"1234567\n"}, {"           \n"}, {"a b c d e"}} {
		m := masker(values...)
		text := []byte("1234567 a b c d e             ")
		if got, places := m.Mask(text); &got[0] != &text[0] || places != 0 || !m.Empty() {
			t.Errorf("%q: masked %q in %d places, empty %t", values, got, places, m.Empty())
		}
		if got := streamed(t, m, "12345", "67 "); got != "1234567 " {
			t.Errorf("%q: streamed %q", values, got)
		}
	}
	m := masker("hunter22")
	if text := []byte("hunter2"); m.Empty() {
		t.Error("empty with a value")
	} else if got, places := m.Mask(text); &got[0] != &text[0] || places != 0 {
		t.Errorf("masked %q in %d places", got, places)
	}
}

func TestPartsOfValues(t *testing.T) {
	t.Parallel()
	const document = `{"user": "administrator", "password": "p\u00e4ss\/w\"ord", "port": 54321, "id": 1234567890.50,
		"hosts": ["one.internal", "two", {"three": "3.internal"}], "password": "second one", "nested": "[\"deep-down\"]", "on": true}`
	const pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\r\n  qhkiG9w0BAQEF\nshort\n-----END PRIVATE KEY-----\n"
	m := masker(document, pem, "  with-blanks-around \n", "with-a-newline\n", `"a JSON string"`)
	for text, want := range map[string]string{
		"administrator":                     mask,
		"user password port":                "user password port",
		`päss/w"ord`:                        mask,
		`"p\u00e4ss/w\"ord"`:                `"` + mask + `"`,
		"54321":                             "54321",
		"1234567890.50 1234567890.5":        mask + " 1234567890.5",
		"one.internal two 3.internal":       mask + " two " + mask,
		"second one":                        mask,
		"deep-down":                         mask,
		document:                            mask,
		pem:                                 mask + "\n",
		strings.ReplaceAll(pem, "\r\n", ""): mask + "\n",
		strings.ReplaceAll(pem, "\n", `\n`): mask + `\n`,
		"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC":  mask,
		"x MIIEvQIBADANBgkqhkiG9w0BAQEFAASC short qhkiG9w0BAQEF": "x " + mask + " short " + mask,
		"[with-blanks-around][with-a-newline]\n":                 "[" + mask + "][" + mask + "]\n",
		"d2l0aC1ibGFua3MtYXJvdW5k":                               mask,
		"a JSON string":                                          mask,
	} {
		if got := masked(m, text); got != want {
			t.Errorf("Mask of %q:\n got %q\nwant %q", text, got, want)
		}
	}
}

func TestOverlappingValues(t *testing.T) {
	t.Parallel()
	m := masker("abcdefgh", "efghijkl", "the abcdefgh inside", "ijklmnop")
	for text, want := range map[string]string{
		"-abcdefgh-":                      "-" + mask + "-",
		"-abcdefghijkl-":                  "-" + mask + "-",
		"-abcdefghijklmnop-":              "-" + mask + "-",
		"-abcdefghijklmno-":               "-" + mask + "mno-",
		"-the abcdefgh inside-":           "-" + mask + "-",
		"-the abcdefgh insid-":            "-the " + mask + " insid-",
		"-the abcdefghijkl inside-":       "-the " + mask + " inside-",
		"-abcdefghabcdefgh.efghijkl-":     "-" + mask + "." + mask + "-",
		"-abcdefabcdefgh-":                "-abcdef" + mask + "-",
		"the abcdefgh the abcdefgh insid": "the " + mask + " the " + mask + " insid",
	} {
		everySplit(t, m, text, want)
		_, places := m.Mask([]byte(text))
		if want := strings.Count(want, mask); places != want {
			t.Errorf("%q: %d places, want %d", text, places, want)
		}
	}
}

// What Go and others write for bytes that are no text.
func TestAValueThatIsNoText(t *testing.T) {
	t.Parallel()
	value := "binary\xff\xfe and \x80text"
	m := masker(value)
	for _, text := range []string{
		value, quoted(value, true), `"binary\udcff\udcfe and \udc80text"`, fmt.Sprintf("%+q", value), strings.ToValidUTF8("binary\xff and", "\uFFFD"),
	} {
		got := masked(m, text)
		if want := text != "binary\uFFFD and"; strings.Contains(got, mask) != want {
			t.Errorf("Mask of %q: %q", text, got)
		}
	}
}

// chunks is a writer that keeps what each call wrote.
type chunks struct {
	all []string
	err error
}

func (c *chunks) Write(text []byte) (int, error) {
	c.all = append(c.all, string(text))
	return len(text), c.err
}

func (c *chunks) text() string { return strings.Join(c.all, "") }

func TestWriterPassesOnAtOnce(t *testing.T) {
	t.Parallel()
	m := masker("hunter22-hunter22")
	for _, test := range []struct{ text, now string }{
		{"progress: 17 of 20!", "progress: 17 of 20!"},
		{"nothing begun here =", "nothing begun here ="},
		{"password: hunter22-hun", "password: "},
		{"password: hunter22-hunt!", "password: hunter22-hunt!"},
		{"password: hunter22-hunter22!", "password: " + mask + "!"},
		{"password: hunter22-hunter22", "password: " + mask},
		{"password: hun\n   ter\n", "password: "},
		{"50%", "50"},
		{"50%%!", "50%%!"},
		{`"\u006`, `"`},
		{"=68756e74", "="},
	} {
		var out chunks
		w := m.Writer(&out)
		if _, err := io.WriteString(w, test.text); err != nil {
			t.Fatal(err)
		}
		if got := out.text(); got != test.now {
			t.Errorf("after %q: %q was passed on, want %q", test.text, got, test.now)
		}
		if len(out.all) > 1 {
			t.Errorf("%q was passed on in %d parts", test.text, len(out.all))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if want := masked(m, test.text); out.text() != want {
			t.Errorf("after Close %q, want %q", out.text(), want)
		}
	}
}

func TestWriterCountsPlaces(t *testing.T) {
	t.Parallel()
	w := masker("hunter22").Writer(io.Discard)
	for range 3 {
		if _, err := io.WriteString(w, "hunter22 hunter22hunter22, "); err != nil {
			t.Fatal(err)
		}
	}
	if w.Places() != 6 {
		t.Errorf("%d places, want 6", w.Places())
	}
}

func TestWriterAfterAnError(t *testing.T) {
	t.Parallel()
	out := &chunks{err: errors.New("the disk is full")}
	w := masker("hunter22").Writer(out)
	for range 2 {
		if n, err := io.WriteString(w, "some text."); n != 0 || !errors.Is(err, out.err) {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	if err := w.Close(); !errors.Is(err, out.err) {
		t.Errorf("Close: %v", err)
	}
	if len(out.all) != 1 {
		t.Errorf("the writer was called %d times", len(out.all))
	}
}

func TestWriterAfterClose(t *testing.T) {
	t.Parallel()
	w := masker("hunter22").Writer(io.Discard)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := io.WriteString(w, "x"); err == nil {
		t.Error("Write after Close has no error")
	}
}

// What a Writer holds back has a bound, also where a value seems to go on for ever.
func TestHeldBackIsBounded(t *testing.T) {
	t.Parallel()
	const value = "hunter22-hunter22"
	m := masker(value, "aaaaaaaaaaaaaaaab")
	for name, endless := range map[string]string{
		"blanks":           " ",
		"line ends":        "\r\n",
		"escaped blanks":   `\n`,
		"percent blanks":   "%20",
		"percent":          "%",
		"backslashes":      `\`,
		"near":             "a",
		"escaped near":     `\u0061`,
		"near and blanks":  "a" + strings.Repeat(" ", 500),
		"an escape slowly": "%" + strings.Repeat(" ", 300) + "6" + strings.Repeat("\n", 300) + "8",
	} {
		var out chunks
		w := m.Writer(&out)
		written := 0
		for _, text := range append([]string{"x hunter22-hunt"}, strings.Repeat(endless, 100_000/len(endless))) {
			for len(text) > 0 {
				n := min(len(text), 1000)
				if _, err := io.WriteString(w, text[:n]); err != nil {
					t.Fatal(err)
				}
				written += n
				text = text[n:]
			}
		}
		if held := written - len(out.text()); held > 32*len(value)+(16<<10) {
			t.Errorf("%s: %d bytes are held back", name, held)
		}
	}
}

func TestLargeValues(t *testing.T) {
	t.Parallel()
	var values [][]byte
	for i := range 12 {
		values = append(values, bytes.Repeat([]byte(fmt.Sprintf("%02d-%s", i, strings.Repeat("x", i))), (64<<10)/(3+i)))
	}
	m := secret.NewMasker(values...)
	for _, name := range []string{"raw", "base64 after 1", `\u`, "hex with colons"} {
		text := wrapped("<"+encodings[name](string(values[9])), 76, "\r\n    ") + ">"
		if got := streamed(t, m, text); !strings.HasPrefix(got, "<") || len(got) > len("<>"+mask)+9 {
			t.Errorf("%s: %d bytes are left: %.100q", name, len(got), got)
		}
	}
}

func TestOneMaskerForMany(t *testing.T) {
	t.Parallel()
	m := masker("hunter22", "another-one")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if got := streamed(t, m, "hun", "ter22 another", "-one aHVudGVyMjI"); got != mask+" "+mask+" "+mask {
					t.Errorf("masked %q", got)
				}
			}
		})
	}
	all.Wait()
}

func TestAMaskerDoesNotPrintItsValues(t *testing.T) {
	t.Parallel()
	m := masker("hunter22")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, m); got != "secret" {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

func TestTheValuesOfTheCallerStayTheirs(t *testing.T) {
	t.Parallel()
	value := []byte("hunter22\n")
	m := secret.NewMasker(value)
	clear(value)
	if got := masked(m, "hunter22"); got != mask {
		t.Errorf("masked %q", got)
	}
}

// TestSettlePassesOnTheEndOfALine has lines whose last byte might begin a value.
// TestSettlePassesOnTheEndOfALine has lines whose last byte might begin a value.
func TestSettlePassesOnTheEndOfALine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ first, settled, rest, all string }{
		{"ready t\n", "ready t\n", "o be\n", "ready t\no be\n"},
		{"ready th\n", "ready th\n", "e-key-of-all\n", "ready th\n********\n"}, // two bytes are all that can be seen
		{"ready the\n", "ready ", "-key-of-all\n", "ready ********\n"},
		{"ready the-key\n", "ready ", " and\n", "ready the-key\n and\n"},
		{"no line t", "no line ", "\n", "no line t\n"},
		{"dG\n", "dG\n", "hlLWtleS1vZi1hbGw=\n", "dG\n********=\n"},
	} {
		var out strings.Builder
		w := secret.NewMasker([]byte("the-key-of-all")).Writer(&out)
		if _, err := w.Write([]byte(test.first)); err != nil {
			t.Fatal(err)
		}
		if err := w.Settle(); err != nil || out.String() != test.settled {
			t.Errorf("%q is settled as %q, want %q; %v", test.first, out.String(), test.settled, err)
		}
		if _, err := w.Write([]byte(test.rest)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil || out.String() != test.all {
			t.Errorf("%q and %q become %q, want %q; %v", test.first, test.rest, out.String(), test.all, err)
		}
		if err := w.Settle(); err != nil {
			t.Error(err)
		}
	}
}

// TestSettledTextIsNotSearchedAnew breaks a value, in each of its encodings, at each place, with a pause there.
func TestSettledTextIsNotSearchedAnew(t *testing.T) {
	t.Parallel()
	const value = "the-key-of-all"
	m := secret.NewMasker([]byte(value))
	for _, form := range []string{
		value, hex.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte("x" + value + "y")),
		url.QueryEscape("&" + value), strings.ReplaceAll(value, "-", `\u002d`),
	} {
		for at := 1; at < len(form); at++ {
			var out strings.Builder
			w := m.Writer(&out)
			for _, part := range []string{"a line\nand " + form[:at] + "\n", form[at:], " more\n"} {
				if _, err := w.Write([]byte(part)); err != nil {
					t.Fatal(err)
				}
				if err := w.Settle(); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			left := strings.Join(strings.Fields(out.String()), "")
			if !strings.Contains(left, secret.Mask) || len(left) > len("alineand"+secret.Mask+"more")+len("eHRoZeQ==") {
				t.Errorf("%q, broken after %d, becomes %q", form, at, out.String())
			}
		}
	}
}
