package api

import (
	"context"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// principal is who makes a request.
type principal struct {
	name      string
	role      attune.Role
	packs     []string            // all that it reaches; nil: everything
	execution *store.ExecutionRow // that calls, which has no role; nil: a token of people and programs, or a user
}

// local is who runs a command without a server: the user of its process, whose files these are.
func local() principal {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return principal{name: "user " + name, role: attune.RoleAdmin}
}

// reaches tells whether a pack is within what the principal may see.
func (p principal) reaches(pack string) bool { return p.packs == nil || slices.Contains(p.packs, pack) }

// limits says in words what a principal is limited to.
func (p principal) limits() string {
	return "the token is for " + strings.Join(p.packs, ", ") + " alone"
}

type principalKey struct{}

func withPrincipal(ctx context.Context, p principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// who returns who makes a request; nobody, who may nothing, if that is not known.
func who(ctx context.Context) principal {
	p, ok := ctx.Value(principalKey{}).(principal)
	if !ok {
		return principal{name: "nobody", packs: []string{}}
	}
	return p
}
