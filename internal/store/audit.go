package store

import "context"

// Audit notes who did what to which thing. It is a row of the transaction that did it: neither is there without the other.
func (q *Queries) Audit(ctx context.Context, actor, event, subject string) error {
	_, err := q.exec(ctx, `INSERT INTO audit (at, actor, event, subject) VALUES ({now}, $1, $2, $3)`,
		clean(actor), event, clean(subject))
	return wrap(err, "note in the audit log: %s", event)
}
