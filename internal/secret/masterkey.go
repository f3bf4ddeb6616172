package secret

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	keyPrefix = "attune-key-1"
	keySize   = 32 // of AES-256
	maxID     = 64
)

// MasterKey is what the data keys of values are wrapped with. Its ID is random and tells nothing of it.
type MasterKey struct {
	id  string
	key *[keySize]byte // behind a pointer, which is all that fmt shows of a field of somebody's struct
}

// NewMasterKey returns a random one.
func NewMasterKey() (MasterKey, error) {
	var id [8]byte
	var key [keySize]byte
	if _, err := rand.Read(id[:]); err != nil {
		return MasterKey{}, fmt.Errorf("new master key: %w", err)
	}
	if _, err := rand.Read(key[:]); err != nil {
		return MasterKey{}, fmt.Errorf("new master key: %w", err)
	}
	return MasterKey{id: hex.EncodeToString(id[:]), key: &key}, nil
}

// ID returns the name by which a sealed value finds its master key again.
func (m MasterKey) ID() string { return m.id }

// Text returns the key's line in a keyring, with its end.
func (m MasterKey) Text() []byte {
	if m.key == nil {
		return nil
	}
	line := []byte(keyPrefix + ":" + m.id + ":")
	return append(base64.StdEncoding.AppendEncode(line, m.key[:]), '\n')
}

// Format keeps the key out of whatever is printed.
func (m MasterKey) Format(s fmt.State, _ rune) { hide(s) }

// LogValue keeps the key out of logs.
func (m MasterKey) LogValue() slog.Value { return slog.StringValue("secret") }

func hide(w io.Writer) { _, _ = io.WriteString(w, "secret") } // a fmt.State takes everything

// errNoKey says what a line should be, and not what it is.
var errNoKey = errors.New("this is not " + keyPrefix + ":<id>:<32 bytes in base64>")

func parseMasterKey(line string) (MasterKey, error) {
	part := strings.Split(line, ":")
	if len(part) != 3 || part[0] != keyPrefix || !validID(part[1]) {
		return MasterKey{}, errNoKey
	}
	key, err := base64.StdEncoding.Strict().DecodeString(part[2])
	defer clear(key)
	if err != nil || len(key) != keySize {
		return MasterKey{}, errNoKey
	}
	return MasterKey{id: strings.Clone(part[1]), key: (*[keySize]byte)(append([]byte(nil), key...))}, nil
}

// validID tells whether an ID can stand in a keyring, in a message and in a sealed value.
func validID(id string) bool {
	for _, c := range []byte(id) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// wrappingKey derives the key that wraps one data key. As no two values share a salt, none is used twice.
func (m MasterKey) wrappingKey(salt []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, m.key[:], salt, "attune sealed value, wrapping key", keySize)
}
