package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/attune-automation/attune"
)

// A sealed value, format 1. Both layers are AES-256-GCM, and both authenticate the format and what the value belongs
// to; the outer one also the master key's ID, which Rewrap may change while the inner one stays as it is.
//
//	1 │ length of ID │ ID │ salt, 32 │ wrapped data key, 32+16 │ nonce, 12 │ ciphertext, length of the value + 16
const (
	sealedVersion = 1
	saltSize      = 32
	nonceSize     = 12
	tagSize       = 16
	wrappedSize   = keySize + tagSize
)

// ErrNoMasterKey is for a value that was sealed under a master key which is not in the keyring. The message names it.
var ErrNoMasterKey = errors.New("the keyring does not have the master key")

// ErrUnreadable is for a text that is not, byte for byte, what was sealed for this identity.
var ErrUnreadable = errors.New("this is not what was sealed here: it was changed, or it belongs to something else")

// Identity is what a value belongs to. A value that was sealed for one can't be opened as that of another, so that
// whoever can write to the database can't have it delivered elsewhere.
type Identity struct{ Kind, Owner, Name string }

// authenticated returns what a layer authenticates beside its content. Lengths go before texts, so that no two
// identities look the same.
func (i Identity) authenticated(layer string) []byte {
	data := []byte{sealedVersion}
	for _, s := range []string{layer, i.Kind, i.Owner, i.Name} {
		data = binary.AppendUvarint(data, uint64(len(s)))
		data = append(data, s...)
	}
	return data
}

// sealed is the parts of a sealed value, which share its memory.
type sealed struct {
	id                           string
	salt, wrapped, nonce, cipher []byte
}

func parseSealed(text []byte) (s sealed, err error) {
	if len(text) < 2 || text[0] != sealedVersion {
		return s, ErrUnreadable
	}
	n, rest := int(text[1]), text[2:]
	if len(rest) < n+saltSize+wrappedSize+nonceSize+tagSize || !validID(string(rest[:n])) {
		return s, ErrUnreadable
	}
	s.id, rest = string(rest[:n]), rest[n:]
	s.salt, rest = rest[:saltSize], rest[saltSize:]
	s.wrapped, rest = rest[:wrappedSize], rest[wrappedSize:]
	s.nonce, s.cipher = rest[:nonceSize], rest[nonceSize:]
	return s, nil
}

func (s sealed) text() []byte {
	text := []byte{sealedVersion, byte(len(s.id))}
	text = append(text, s.id...)
	for _, part := range [][]byte{s.salt, s.wrapped, s.nonce, s.cipher} {
		text = append(text, part...)
	}
	return text
}

// SealedUnder returns the ID of the master key that a value was sealed under.
func SealedUnder(text []byte) (id string, err error) {
	s, err := parseSealed(text)
	return s.id, err
}

// Seal encrypts a value for an identity, under the current master key.
func (k *Keyring) Seal(of Identity, value []byte) ([]byte, error) {
	dataKey := make([]byte, keySize)
	defer clear(dataKey)
	s := sealed{nonce: make([]byte, nonceSize)}
	if err := random(dataKey, s.nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	gcm, err := newGCM(dataKey)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	s.cipher = gcm.Seal(nil, s.nonce, value, of.authenticated("value"))
	if err := s.wrap(k.current(), of, dataKey); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return s.text(), nil
}

// Open decrypts a value that was sealed for this identity. It fails with ErrNoMasterKey or ErrUnreadable.
func (k *Keyring) Open(of Identity, text []byte) ([]byte, error) {
	s, dataKey, err := k.unwrapped(of, text)
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	gcm, err := newGCM(dataKey)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	value, err := gcm.Open(nil, s.nonce, s.cipher, of.authenticated("value"))
	if err != nil {
		return nil, ErrUnreadable
	}
	return value, nil
}

// unwrapped returns the parts of a sealed value, and its data key, which the caller clears.
func (k *Keyring) unwrapped(of Identity, text []byte) (s sealed, dataKey []byte, err error) {
	if s, err = parseSealed(text); err != nil {
		return s, nil, err
	}
	dataKey, err = k.unwrap(s, of)
	return s, dataKey, err
}

// Rewrap returns the value as sealed under the current master key: the same bytes if it is already. Its own data key
// stays, and it is not decrypted: one that Open refuses stays so.
func (k *Keyring) Rewrap(of Identity, text []byte) ([]byte, error) {
	s, dataKey, err := k.unwrapped(of, text)
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	if s.id == k.Current() {
		return text, nil
	}
	if err := s.wrap(k.current(), of, dataKey); err != nil {
		return nil, fmt.Errorf("rewrap: %w", err)
	}
	return s.text(), nil
}

// wrap puts the data key into s, under a key that nothing else is encrypted with: its nonce may be zero.
func (s *sealed) wrap(m MasterKey, of Identity, dataKey []byte) error {
	salt := make([]byte, saltSize)
	if err := random(salt); err != nil {
		return err
	}
	gcm, err := m.wrapper(salt)
	if err != nil {
		return err
	}
	s.id, s.salt = m.id, salt
	s.wrapped = gcm.Seal(nil, make([]byte, nonceSize), dataKey, of.authenticated("data key "+m.id))
	return nil
}

// unwrap returns the data key of s, which the caller clears.
func (k *Keyring) unwrap(s sealed, of Identity) ([]byte, error) {
	m, ok := k.key(s.id)
	if !ok {
		return nil, fmt.Errorf("%w %s", ErrNoMasterKey, s.id)
	}
	gcm, err := m.wrapper(s.salt)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	dataKey, err := gcm.Open(nil, make([]byte, nonceSize), s.wrapped, of.authenticated("data key "+m.id))
	if err != nil {
		return nil, ErrUnreadable
	}
	return dataKey, nil
}

func (m MasterKey) wrapper(salt []byte) (cipher.AEAD, error) {
	key, err := m.wrappingKey(salt)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newGCM(key)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func random(fill ...[]byte) error {
	for _, b := range fill {
		if _, err := rand.Read(b); err != nil {
			return err
		}
	}
	return nil
}

// OfKey is the identity of a key's value.
func OfKey(id attune.KeyID) Identity {
	return Identity{Kind: "key of " + string(id.Owner), Owner: id.Of, Name: id.Name}
}

// OfParameters is the identity of the secret parameters of an execution of this action.
func OfParameters(action attune.Ref) Identity {
	return Identity{Kind: "parameters", Owner: string(action)}
}
