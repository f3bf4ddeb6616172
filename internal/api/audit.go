package api

import (
	"context"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// audited changes or reveals something in a transaction that also notes in the audit log who did: if that can't be
// stored, it is not done. Once it is certain, the log has it, too. do returns what it was done to, "" if nothing was.
func (a *API) audited(ctx context.Context, event string, do func(*store.Queries) (subject string, err error)) error {
	noted := attune.AuditEvent{Actor: who(ctx).name, Event: event}
	err := a.cfg.Store.Write(ctx, func(q *store.Queries) (err error) {
		if noted.Subject, err = do(q); err != nil || noted.Subject == "" {
			return err
		}
		return q.Audit(ctx, noted)
	})
	if err == nil && noted.Subject != "" {
		a.log.InfoContext(ctx, event, "audit", true, "actor", noted.Actor, "subject", noted.Subject)
	}
	return err
}
