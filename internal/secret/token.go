package secret

import (
	"crypto/rand"
	"encoding/base64"
)

// tokenPrefix tells people, and programs that look for secrets in the wrong places, what they have found.
const tokenPrefix = "attune_"

// NewToken returns a token of 256 bits of chance.
func NewToken() string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
}
