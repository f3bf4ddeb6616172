package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/secret"
)

var password = secret.Identity{Kind: "key", Owner: "pack:mail", Name: "password"}

func newKey(t *testing.T) secret.MasterKey {
	t.Helper()
	key, err := secret.NewMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ring returns a keyring of these keys, the first one current.
func ring(t *testing.T, keys ...secret.MasterKey) *secret.Keyring {
	t.Helper()
	var text []byte
	for _, key := range keys {
		text = append(text, key.Text()...)
	}
	k, err := secret.ParseKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, k *secret.Keyring, of secret.Identity, value string) []byte {
	t.Helper()
	text, err := k.Seal(of, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	k := ring(t, newKey(t))
	for _, value := range []string{"", "x", "hunter22", strings.Repeat("long", 1<<14)} {
		text := seal(t, k, password, value)
		if len(value) > 4 && bytes.Contains(text, []byte(value)) {
			t.Error("the value can be read in what was sealed")
		}
		if got, err := k.Open(password, text); err != nil || string(got) != value {
			t.Errorf("Open: %q, %v; want %q", got, err, value)
		}
	}
	if bytes.Equal(seal(t, k, password, "same"), seal(t, k, password, "same")) {
		t.Error("the same value sealed twice looks the same")
	}
}

// A keyring and a value of format 1, as they are in somebody's database: both must be readable for ever.
const (
	oldRing  = "attune-key-1:0011223344556677:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	oldValue = "ARAwMDExMjIzMzQ0NTU2Njc3/dnqxx22ZzfBle/gaDI4oX2s6ndn8j4Nyufj5yfBaE0e2CPTNvPTpt389HEXaAN6fe5ymqnRTfRhBNl3uvtOii4k" +
		"BdF1SSf185gRIXrLCVZT3mfbPyo5TcQE676X/1c/CeGM+PvZ1cKvvZsSPZouJOjDKpT3kIAFqA=="
)

func TestOpenReadsFormat1(t *testing.T) {
	t.Parallel()
	k, err := secret.ParseKeyring([]byte(oldRing))
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(oldValue)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(password, text); err != nil || string(got) != "correct horse" {
		t.Errorf("Open: %q, %v", got, err)
	}
}

func TestOpenRefusesAnotherIdentity(t *testing.T) {
	t.Parallel()
	k := ring(t, newKey(t))
	text := seal(t, k, password, "hunter22")
	for _, of := range []secret.Identity{
		{},
		{Kind: "key", Owner: "pack:mail", Name: "user"},
		{Kind: "key", Owner: "pack:mai", Name: "lpassword"}, // the same letters
		{Kind: "keypack:mail", Owner: "", Name: "password"},
		{Kind: "key", Owner: "password", Name: "pack:mail"},
	} {
		if _, err := k.Open(of, text); !errors.Is(err, secret.ErrUnreadable) {
			t.Errorf("Open of %+v: %v", of, err)
		}
		if _, err := k.Rewrap(of, text); !errors.Is(err, secret.ErrUnreadable) {
			t.Errorf("Rewrap of %+v: %v", of, err)
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	t.Parallel()
	k := ring(t, newKey(t))
	text := seal(t, k, password, "hunter22")
	for i := range text {
		for _, other := range [][]byte{
			slices.Concat(text[:i], []byte{text[i] ^ 1}, text[i+1:]),
			text[:i],
			slices.Concat(text[:i], text[i+1:]),
		} {
			_, err := k.Open(password, other)
			if !errors.Is(err, secret.ErrUnreadable) && !errors.Is(err, secret.ErrNoMasterKey) {
				t.Fatalf("a change of byte %d: %v", i, err)
			}
		}
	}
	if _, err := k.Open(password, append(text, 0)); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestPartsOfTwoValuesDoNotMix(t *testing.T) {
	t.Parallel()
	k := ring(t, newKey(t))
	one, two := seal(t, k, password, "hunter22"), seal(t, k, password, "hunter23")
	for i := 1; i < len(one)-1; i++ {
		mixed := slices.Concat(one[:i], two[i:])
		if bytes.Equal(mixed, one) || bytes.Equal(mixed, two) {
			continue
		}
		if _, err := k.Open(password, mixed); !errors.Is(err, secret.ErrUnreadable) {
			t.Fatalf("the first %d bytes of one and the rest of another: %v", i, err)
		}
	}
}

func TestOpenNamesTheMasterKeyThatIsMissing(t *testing.T) {
	t.Parallel()
	old := newKey(t)
	text := seal(t, ring(t, old), password, "hunter22")
	_, err := ring(t, newKey(t)).Open(password, text)
	if !errors.Is(err, secret.ErrNoMasterKey) || !strings.Contains(err.Error(), old.ID()) {
		t.Errorf("Open: %v", err)
	}
	if id, err := secret.SealedUnder(text); err != nil || id != old.ID() {
		t.Errorf("SealedUnder: %q, %v; want %q", id, err, old.ID())
	}
}

func TestOpenRefusesAnotherKeyOfTheSameName(t *testing.T) {
	t.Parallel()
	text := seal(t, ring(t, newKey(t)), password, "hunter22")
	id, _ := secret.SealedUnder(text)
	other := bytes.Replace(newKey(t).Text(), []byte("attune-key-1:"), []byte("attune-key-1:"+id), 1)
	other = slices.Concat(other[:len("attune-key-1:")+len(id)], other[bytes.LastIndexByte(other, ':'):])
	k, err := secret.ParseKeyring(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(password, text); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("Open: %v", err)
	}
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	old, next := newKey(t), newKey(t)
	text := seal(t, ring(t, old), password, "hunter22")
	both := ring(t, next, old)
	moved, err := both.Rewrap(password, text)
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := secret.SealedUnder(moved); id != next.ID() {
		t.Errorf("rewrapped under %s, want %s", id, next.ID())
	}
	if got, err := ring(t, next).Open(password, moved); err != nil || string(got) != "hunter22" {
		t.Errorf("Open with the new key alone: %q, %v", got, err)
	}
	if tail := len("hunter22") + 16 + 12; !bytes.Equal(moved[len(moved)-tail:], text[len(text)-tail:]) {
		t.Error("the value itself was encrypted anew")
	}
	if again, err := both.Rewrap(password, moved); err != nil || !bytes.Equal(again, moved) {
		t.Errorf("Rewrap of what is under the current key: changed, %v", err)
	}
	if _, err := ring(t, next).Rewrap(password, text); !errors.Is(err, secret.ErrNoMasterKey) {
		t.Errorf("Rewrap without the old key: %v", err)
	}
}

func TestParseKeyring(t *testing.T) {
	t.Parallel()
	one, two := newKey(t), newKey(t)
	text := fmt.Sprintf("# ours\r\n\n  %s\t\n#%s%s", bytes.TrimSpace(one.Text()), newKey(t).Text(), two.Text())
	k, err := secret.ParseKeyring([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if k.Current() != one.ID() || !slices.Equal(k.IDs(), []string{one.ID(), two.ID()}) {
		t.Errorf("current %s of %v, want %s, %s", k.Current(), k.IDs(), one.ID(), two.ID())
	}
	if want := slices.Concat(one.Text(), two.Text()); !bytes.Equal(k.Text(), want) {
		t.Error("Text is not what was parsed, without comments")
	}
}

func TestParseKeyringNamesTheLineAndNotItsContent(t *testing.T) {
	t.Parallel()
	good := string(newKey(t).Text())
	for text, want := range map[string]string{
		"":                                     "no key",
		"# nothing\n":                          "no key",
		good + "attune-key-1:topsecret":        "line 2",
		good + "\n\ntopsecret:a:" + good[13:]:  "line 4",
		"attune-key-1:topsecret:AAAA\n":        "line 1",
		"attune-key-1::" + good[30:]:           "line 1",
		"attune-key-1:topsecret :" + good[30:]: "line 1",
		"attune-key-1:topsecret:*" + good[30:]: "line 1",
		good + good:                            "line 2",
		"attune-key-1:" + strings.Repeat("topsecret", 8) + ":" + good[30:]: "line 1",
	} {
		_, err := secret.ParseKeyring([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
			continue
		}
		if strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), good[30:50]) {
			t.Errorf("the error shows the line: %v", err)
		}
	}
}

func TestKeysArePrintedAsSecret(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	k := ring(t, key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, arg := range []any{key, &key, k, *k} {
			if got := fmt.Sprintf(verb, arg); got != "secret" {
				t.Errorf("%s of a %T: %s", verb, arg, got)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "ring", k)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "ring", k)
	if strings.Count(log.String(), "secret") != 4 {
		t.Errorf("logged: %s", log.String())
	}
}

func TestKeysAreHiddenInOtherStructs(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	hidden := struct {
		key  secret.MasterKey
		ring *secret.Keyring
		copy secret.Keyring
		Key  secret.MasterKey
	}{key, ring(t, key), *ring(t, key), key}
	raw, err := base64.StdEncoding.DecodeString(string(key.Text()[30:74]))
	if err != nil {
		t.Fatal(err)
	}
	line := string(key.Text())
	asJSON, err := json.Marshal(hidden)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf("%v", hidden), fmt.Sprintf("%+v", hidden), fmt.Sprintf("%#v", hidden), fmt.Sprintf("%x", hidden), string(asJSON),
	} {
		for _, leak := range []string{line[30:], fmt.Sprintf("%v", raw)[1:20], fmt.Sprintf("%#v", raw)[8:30], fmt.Sprintf("%x", raw)} {
			if strings.Contains(text, leak) {
				t.Errorf("%s is shown in %s", leak, text)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	k, err := secret.ParseKeyring([]byte(oldRing))
	if err != nil {
		f.Fatal(err)
	}
	known, err := base64.StdEncoding.DecodeString(oldValue)
	if err != nil {
		f.Fatal(err)
	}
	for i := range known {
		f.Add(known[:i])
	}
	f.Add(append(slices.Clone(known), 0))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Equal(text, known) {
			return
		}
		value, err := k.Open(password, text)
		if value != nil || !errors.Is(err, secret.ErrUnreadable) && !errors.Is(err, secret.ErrNoMasterKey) {
			t.Errorf("opened: %q, %v", value, err)
		}
		if moved, err := k.Rewrap(password, text); err == nil && !bytes.Equal(moved, text) {
			t.Error("Rewrap changed what is under the current key")
		}
	})
}
