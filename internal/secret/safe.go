package secret

import (
	"errors"
	"fmt"
	"sync"
)

// SafeConfig says where the keyring may come from, in order: File, the systemd credential attune-keys, the environment
// variable ATTUNE_ENCRYPTION_KEY, Create.
type SafeConfig struct {
	File   string              // security.encryption_key_file; "" if it is not set
	Create string              // is made on first use if nothing else is configured; "": never, as in production
	Getenv func(string) string // os.Getenv

	// Sealed tells whether the installation has anything that is sealed. Then Create is not made: it was there, and what
	// is sealed under it would be lost without anybody being told. nil: nothing is.
	Sealed func() (bool, error)
}

// ErrNoSource is for an installation that has no keyring.
var ErrNoSource = errors.New("no encryption key is configured: set security.encryption_key_file to the path of a key " +
	"file, give the service the systemd credential " + credential + ", or set " + variable + " to a key file's text")

// Safe keeps the keyring, and reads it anew when its file has changed, so that a rotation reaches what runs. Where it
// comes from is settled once: what vanishes later is an error, and not a reason for another key. It is safe for
// concurrent use.
type Safe struct {
	source source

	mu    sync.Mutex
	ring  *Keyring // nil before the first use
	stamp stamp    // of the file that ring was read from
}

// NewSafe returns a Safe. It reads no key yet.
func NewSafe(c SafeConfig) *Safe { return &Safe{source: findSource(c)} }

// Source says where the keyring comes from, for people.
func (s *Safe) Source() string { return s.source.name }

// Renewable tells whether Renew can put a new master key into the source: it is a file, and neither given by the service
// manager nor the environment.
func (s *Safe) Renewable() bool { return s.source.path != "" && s.source.advice == "" }

// Keyring returns the present keyring.
func (s *Safe) Keyring() (*Keyring, error) { return s.read(false) }

// Seal is that of the present keyring.
func (s *Safe) Seal(of Identity, value []byte) ([]byte, error) {
	k, err := s.Keyring()
	if err != nil {
		return nil, err
	}
	return k.Seal(of, value)
}

// Open is that of the present keyring. A master key that it lacks may be newer than the last look at the file.
func (s *Safe) Open(of Identity, text []byte) ([]byte, error) {
	return s.again(func(k *Keyring) ([]byte, error) { return k.Open(of, text) })
}

// Rewrap is that of the present keyring.
func (s *Safe) Rewrap(of Identity, text []byte) ([]byte, error) {
	return s.again(func(k *Keyring) ([]byte, error) { return k.Rewrap(of, text) })
}

func (s *Safe) again(do func(*Keyring) ([]byte, error)) ([]byte, error) {
	k, err := s.read(false)
	if err != nil {
		return nil, err
	}
	out, err := do(k)
	if !errors.Is(err, ErrNoMasterKey) {
		return out, err
	}
	if k, err = s.read(true); err != nil {
		return nil, err
	}
	return do(k)
}

// read returns the keyring, and if need be, or if fresh, that of the source as it is now.
func (s *Safe) read(fresh bool) (*Keyring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring != nil && !fresh && s.source.unchanged(s.stamp) {
		return s.ring, nil
	}
	ring, stamp, err := s.source.read(s.ring == nil)
	if err != nil {
		if errors.Is(err, ErrNoSource) {
			return nil, err
		}
		return nil, fmt.Errorf("encryption keys, %s: %w", s.source.name, err)
	}
	s.ring, s.stamp = ring, stamp
	return ring, nil
}

// Renew puts a new master key first in the file, and returns its ID. The others stay: they open what was sealed before,
// in the database and in its backups.
func (s *Safe) Renew() (id string, err error) {
	key, err := NewMasterKey()
	if err != nil {
		return "", err
	}
	err = s.rewrite(func(k *Keyring) *Keyring { return k.with(key) })
	if err != nil {
		return "", fmt.Errorf("renew the master key: %w", err)
	}
	return key.ID(), nil
}

func (s *Safe) rewrite(change func(*Keyring) *Keyring) error {
	if _, err := s.Keyring(); err != nil { // makes the file if it is ours to make
		return err
	}
	if err := s.source.rewrite(change); err != nil {
		return fmt.Errorf("encryption keys, %s: %w", s.source.name, err)
	}
	_, err := s.read(true)
	return err
}
