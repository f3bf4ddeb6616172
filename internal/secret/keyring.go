package secret

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// Keyring is the master keys of an installation. The first one is the current one, which seals; the others can still
// open what was sealed under them. It doesn't change.
type Keyring struct{ keys []MasterKey }

// ParseKeyring reads a keyring: one master key a line, "attune-key-1:<id>:<32 bytes in base64>", the current one first.
// Blank lines and those that begin with # are passed over. An error names the line, and never what it says.
func ParseKeyring(text []byte) (*Keyring, error) {
	k := &Keyring{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseMasterKey(string(line))
		if err != nil {
			return nil, fmt.Errorf("keyring, line %d: %w", number, err)
		}
		if _, ok := k.key(key.id); ok {
			return nil, fmt.Errorf("keyring, line %d: a line above has the same id", number)
		}
		k.keys = append(k.keys, key)
	}
	if len(k.keys) == 0 {
		return nil, errors.New("keyring: there is no key in it")
	}
	return k, nil
}

// Text returns the keyring as ParseKeyring reads it, without the comments.
func (k *Keyring) Text() []byte {
	var text []byte
	for _, key := range k.keys {
		line := key.Text()
		text = append(text, line...)
		clear(line)
	}
	return text
}

// Current returns the ID of the master key that seals.
func (k *Keyring) Current() string { return k.current().id }

// IDs returns those of all master keys, the current one first.
func (k *Keyring) IDs() []string {
	var ids []string
	for _, key := range k.keys {
		ids = append(ids, key.id)
	}
	return ids
}

// Format keeps the keys out of whatever is printed.
func (k Keyring) Format(s fmt.State, _ rune) { hide(s) }

// LogValue keeps the keys out of logs.
func (k Keyring) LogValue() slog.Value { return slog.StringValue("secret") }

func (k *Keyring) current() MasterKey { return k.keys[0] }

func (k *Keyring) key(id string) (MasterKey, bool) {
	i := slices.IndexFunc(k.keys, func(key MasterKey) bool { return key.id == id })
	if i < 0 {
		return MasterKey{}, false
	}
	return k.keys[i], true
}

// with returns a keyring in which a new key is the current one.
func (k *Keyring) with(key MasterKey) *Keyring {
	return &Keyring{keys: append([]MasterKey{key}, k.keys...)}
}
