package attune

import (
	"strings"
	"time"
)

// Mask is what stands in the place of everything secret.
const Mask = "********"

// MinMaskedBytes is how long a value must be to be masked in what an action writes: a shorter one would be found in
// harmless text.
const MinMaskedBytes = 8

// MaxSecretBytes bounds the keys that one execution is given together, and its secret parameters as JSON: to look for them
// in what it writes takes memory, a hundred times as much.
const MaxSecretBytes = 256 << 10

// KeyOwner says who may have a key: every action, those of one pack, or one action.
type KeyOwner string

// The owners of keys.
const (
	OwnerSystem KeyOwner = "system"
	OwnerPack   KeyOwner = "pack"
	OwnerAction KeyOwner = "action"
)

// KeyID names a key. Keys of the same name may have different owners.
type KeyID struct {
	Owner KeyOwner `json:"owner" enum:"system,pack,action"`
	Of    string   `json:"of,omitempty"` // the pack's or the action's ref; "" for system
	Name  string   `json:"name"`
}

// String returns the name, and whose it is: "api_key of pack web".
func (id KeyID) String() string {
	if id.Owner == OwnerSystem {
		return id.Name
	}
	return id.Name + " of " + string(id.Owner) + " " + id.Of
}

// Key is what may be known of a key without its value.
type Key struct {
	KeyID
	Bytes      int       `json:"bytes"`         // of its value
	Unmaskable bool      `json:"unmaskable"`    // too short to be masked in what an action writes
	MasterKey  string    `json:"master_key_id"` // under which it is encrypted
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// CheckKeyName returns an error if s can't name a key, which also becomes SECRET_NAME in an environment.
func CheckKeyName(s string) error {
	if !paramName.MatchString(s) {
		return Errorf(CodeInvalid, "%q is not a key's name: use at most 128 letters, digits and _, not a digit first", s)
	}
	return nil
}

// SecretVariable returns the variable of an action's environment that holds the key of this name.
func SecretVariable(name string) string { return "SECRET_" + strings.ToUpper(name) }
