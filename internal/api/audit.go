package api

import (
	"context"
	"os"
	"os/user"
	"strconv"

	"github.com/attune-automation/attune/internal/store"
)

// audited does something with what is secret in a transaction that also notes it in the audit log: if that can't be
// stored, it is not done. Once it is certain, the log has it, too. do tells whether there was anything to note.
func (a *API) audited(ctx context.Context, event, subject string, do func(*store.Queries) (noted bool, err error)) error {
	who, noted := a.actor(), false
	err := a.cfg.Store.Write(ctx, func(q *store.Queries) (err error) {
		if noted, err = do(q); err != nil || !noted {
			return err
		}
		return q.Audit(ctx, who, event, subject)
	})
	if err == nil && noted {
		a.log.InfoContext(ctx, event, "audit", true, "actor", who, "subject", subject)
	}
	return err
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
