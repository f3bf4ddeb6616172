package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/attune-automation/attune"
)

// An attempt's token is its fence and a code that only who has a master key can make, so that nothing of it need be
// stored. It tells who bears it, and not whether that attempt is over, which its row does.
//
//	attune_x_<execution>.<attempt>.<worker id>.<incarnation>.<HMAC-SHA-256 of what is before, base64url>
const attemptPrefix = tokenPrefix + "x_"

// ErrNoAttempt is for a token that is none of an attempt, or was made under none of the master keys.
var ErrNoAttempt = errors.New("this is no token of an attempt")

// IsAttemptToken tells whether a token says that it is an attempt's.
func IsAttemptToken(token string) bool { return strings.HasPrefix(token, attemptPrefix) }

// TokenOf returns the token of an attempt, made under the current master key.
func (s *Safe) TokenOf(f attune.Fence) (string, error) {
	k, err := s.Keyring()
	if err != nil {
		return "", err
	}
	claim := fmt.Sprintf("%s%d.%d.%d.%d", attemptPrefix, f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation)
	code, err := k.current().attemptCode(claim)
	return claim + "." + code, err
}

// FenceOf returns whose token it is, if it was made under any of the master keys. A keyring that can't be had is another
// error than ErrNoAttempt.
func (s *Safe) FenceOf(token string) (f attune.Fence, err error) {
	claim, code, ok := cutLast(token)
	if !ok || !IsAttemptToken(claim) {
		return f, ErrNoAttempt
	}
	k, err := s.Keyring()
	if err != nil {
		return f, err
	}
	for _, key := range k.keys {
		right, err := key.attemptCode(claim)
		if err != nil {
			return f, err
		}
		if hmac.Equal([]byte(right), []byte(code)) {
			return parseFence(strings.TrimPrefix(claim, attemptPrefix))
		}
	}
	return f, ErrNoAttempt
}

func cutLast(token string) (claim, code string, ok bool) {
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return "", "", false
	}
	return token[:at], token[at+1:], true
}

// parseFence reads what TokenOf has written.
func parseFence(text string) (f attune.Fence, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 4 {
		return f, ErrNoAttempt
	}
	var numbers [4]int64
	for i, part := range parts {
		if numbers[i], err = strconv.ParseInt(part, 10, 64); err != nil {
			return f, ErrNoAttempt
		}
	}
	return attune.Fence{ExecutionID: numbers[0], Attempt: int(numbers[1]), WorkerID: numbers[2], Incarnation: numbers[3]}, nil
}

// attemptCode authenticates a text with a key of its own: what wraps data keys is derived with a salt, and otherwise.
func (m MasterKey) attemptCode(claim string) (string, error) {
	key, err := hkdf.Key(sha256.New, m.key[:], nil, "attune token of an attempt", keySize)
	if err != nil {
		return "", fmt.Errorf("token of an attempt: %w", err)
	}
	defer clear(key)
	code := hmac.New(sha256.New, key)
	code.Write([]byte(claim))
	return base64.RawURLEncoding.EncodeToString(code.Sum(nil)), nil
}
