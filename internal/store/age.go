package store

import "context"

// AgeExecution and AgeWorker move a row's times into the past. They are what tests use instead of a clock that they
// could set: leases and delays are compared inside the statements, with the database's time.

// AgeExecution makes an execution older.
func (q *Queries) AgeExecution(ctx context.Context, id, seconds int64) error {
	_, err := q.exec(ctx, `UPDATE execution SET created_at = created_at - $2, not_before = not_before - $2,
		published_at = published_at - $2, scheduled_at = scheduled_at - $2 WHERE id = $1`, id, seconds*1e6)
	return wrap(err, "age execution %d", id)
}

// AgeWorker makes a worker's last heartbeat older.
func (q *Queries) AgeWorker(ctx context.Context, id, seconds int64) error {
	_, err := q.exec(ctx, `UPDATE worker SET last_heartbeat = last_heartbeat - $2, lease_until = lease_until - $2
		WHERE id = $1`, id, seconds*1e6)
	return wrap(err, "age worker %d", id)
}

// AgeArtifacts makes what an execution left older.
func (q *Queries) AgeArtifacts(ctx context.Context, executionID, seconds int64) error {
	_, err := q.exec(ctx, `UPDATE artifact SET created_at = created_at - $2 WHERE execution_id = $1`, executionID, seconds*1e6)
	return wrap(err, "age the artifacts of execution %d", executionID)
}

// AgeAudit makes an event of the audit log older.
func (q *Queries) AgeAudit(ctx context.Context, id, seconds int64) error {
	_, err := q.exec(ctx, `UPDATE audit SET at = at - $2 WHERE id = $1`, id, seconds*1e6)
	return wrap(err, "age event %d", id)
}
