package attune

import (
	"fmt"
	"slices"
	"time"
)

// Role is what a token may do.
type Role string

// The roles; each may do what those before it may.
const (
	RoleViewer   Role = "viewer"   // reads
	RoleOperator Role = "operator" // runs actions, and cancels
	RoleAdmin    Role = "admin"    // changes packs, keys, workers and tokens, deletes, and reveals
)

// Roles are all roles, the one that may least first.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleAdmin} }

// Covers tells whether who has the role may do what other may.
func (r Role) Covers(other Role) bool {
	all := Roles()
	return slices.Contains(all, r) && slices.Index(all, r) >= slices.Index(all, other)
}

// Token is what lets a program or a person in, but for its secret part, which is shown once and kept nowhere.
type Token struct {
	ID         int64      `json:"id"`
	Name       string     `json:"name"` // what it is for
	Role       Role       `json:"role"`
	Packs      []string   `json:"packs"` // whose actions, executions and keys are all that it reaches; none: everything
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`   // null: never
	LastUsedAt *time.Time `json:"last_used_at"` // to the minute; null: never
}

// NewToken is a token that was just made, with its secret part.
type NewToken struct {
	Token

	Secret string `json:"token"`
}

// maxTokenName bounds what a token is called.
const maxTokenName = 100

// CheckTokenName says what is wrong with a token's name.
func CheckTokenName(name string) error {
	if name == "" || len(name) > maxTokenName {
		return fmt.Errorf("a token's name has 1 to %d bytes: say what it is for", maxTokenName)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("a token's name has no control characters")
		}
	}
	return nil
}

// AuditEvent is a line of the audit log: who did what to which thing.
type AuditEvent struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Event   string    `json:"event"`
	Subject string    `json:"subject"`
}
