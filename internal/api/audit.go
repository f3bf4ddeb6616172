package api

import (
	"context"
	"os"
	"os/user"
	"strconv"

	"github.com/attune-automation/attune/internal/store"
)

// audit notes what was done with something secret, in the transaction that does it, and in the log.
func (a *API) audit(ctx context.Context, q *store.Queries, event, subject string) error {
	who := a.actor()
	a.log.InfoContext(ctx, event, "audit", true, "actor", who, "subject", subject)
	return q.Audit(ctx, who, event, subject)
}

// actor is who asks: somebody with the token, or, of a command without a server, the user of its process.
func (a *API) actor() string {
	if a.cfg.Token != "" {
		return "token"
	}
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return "user " + name
}
