package store

import (
	"context"
	"math"
	"time"

	"github.com/attune-automation/attune"
)

// Audit notes who did what to which things. Its rows are of the transaction that did it: neither is there without the
// other.
func (q *Queries) Audit(ctx context.Context, events ...attune.AuditEvent) error {
	if len(events) == 0 {
		return nil
	}
	rows := make([][]any, len(events))
	for i, e := range events {
		rows[i] = []any{clean(e.Actor), e.Event, clean(e.Subject)}
	}
	list, args := valuesList(nil, rows, "TEXT", "TEXT", "TEXT")
	_, err := q.exec(ctx, `WITH noted (actor, event, subject) AS (`+list+`)
		INSERT INTO audit (at, actor, event, subject) SELECT {now}, actor, event, subject FROM noted WHERE actor IS NOT NULL`, args...)
	return wrap(err, "note in the audit log: %s", events[0].Event)
}

// ExpireAudit removes those of the first so many events that are older than age. Events come in the order of their times, but
// for a clock that was set: an index of these would cost every execution more than that is worth.
func (q *Queries) ExpireAudit(ctx context.Context, age time.Duration, first int) (int64, error) {
	n, err := q.exec(ctx, `DELETE FROM audit WHERE id IN (
		SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $2) AS oldest WHERE at < {now} - $1)`, age.Microseconds(), first)
	return n, wrap(err, "expire the audit log")
}

// Audited returns the newest events below an id, or of all if that is 0, newest first.
func (q *Queries) Audited(ctx context.Context, below int64, limit int) ([]attune.AuditEvent, error) {
	if below == 0 {
		below = math.MaxInt64
	}
	events, err := collect(ctx, q, func(row scanner) (e attune.AuditEvent, err error) {
		var at int64
		err = row.Scan(&e.ID, &at, &e.Actor, &e.Event, &e.Subject)
		e.At = fromMicros(at)
		return e, err
	}, `SELECT id, at, actor, event, subject FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2`, below, limit)
	return events, wrap(err, "read the audit log")
}
