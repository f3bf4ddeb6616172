package store

import (
	"context"
	"time"

	"github.com/attune-automation/attune"
)

// LockPlacement lets one transaction place executions at a time, and returns false if another one does just now.
func (q *Queries) LockPlacement(ctx context.Context) (bool, error) {
	if q.dialect.tryLock == nil {
		return true, nil
	}
	var locked bool
	err := q.row(ctx, q.dialect.tryLock(placementLock)).Scan(&locked)
	return locked, wrap(err, "lock the placement")
}

// Unsettled tells in one statement whether executions wait to be placed, and whether any is on its way to a worker or
// being cancelled. Asking for the first of an order, instead of for the existence of any, leaves PostgreSQL no choice
// but the index: of a status that many rows have, it would expect to meet one soon and read the table from its start.
func (q *Queries) Unsettled(ctx context.Context) (waiting, sent bool, err error) {
	err = q.row(ctx, `SELECT
		(SELECT class FROM execution WHERE status = 'requested' ORDER BY class LIMIT 1) IS NOT NULL,
		(SELECT published_at FROM execution WHERE status IN ('scheduled', 'canceling')
			ORDER BY published_at LIMIT 1) IS NOT NULL`).Scan(&waiting, &sent)
	return waiting, sent, wrap(err, "look for what is not settled")
}

// WaitingClasses returns the classes of the executions that wait and are due, each once. It jumps from class to class
// in the index, so its cost is the number of classes and not the number of executions.
func (q *Queries) WaitingClasses(ctx context.Context) ([]string, error) {
	classes, err := collect(ctx, q, func(row scanner) (class string, err error) { return class, row.Scan(&class) }, `
		WITH RECURSIVE class (name) AS (
			SELECT (SELECT class FROM execution WHERE status = 'requested' ORDER BY class LIMIT 1)
			UNION ALL
			SELECT (SELECT e.class FROM execution e WHERE e.status = 'requested' AND e.class > class.name
				ORDER BY e.class LIMIT 1)
			FROM class WHERE class.name IS NOT NULL)
		SELECT name FROM class WHERE name IS NOT NULL`)
	return classes, wrap(err, "list what waits")
}

// Waiting is an execution that is to be placed.
type Waiting struct {
	ID        int64
	Action    attune.Ref
	Attempt   int
	NotBefore int64 // microseconds
}

// Due returns the heads of one class's line: at most limit executions, the longest due first.
func (q *Queries) Due(ctx context.Context, class string, limit int) ([]Waiting, error) {
	scan := func(row scanner) (w Waiting, err error) {
		return w, row.Scan(&w.ID, (*string)(&w.Action), &w.Attempt, &w.NotBefore)
	}
	due, err := collect(ctx, q, scan, `
		SELECT id, action_ref, attempt, not_before FROM execution
		WHERE status = 'requested' AND class = $1 AND not_before <= {now}
		ORDER BY not_before, id LIMIT $2`, class, limit)
	return due, wrap(err, "list the head of class %s", class)
}

// NextDue returns how long it is until an execution that waits for its time is due, and false if there is none.
func (q *Queries) NextDue(ctx context.Context) (time.Duration, bool, error) {
	classes, err := q.WaitingClasses(ctx)
	if err != nil {
		return 0, false, err
	}
	var next time.Duration
	found := false
	for _, class := range classes {
		var us []int64
		us, err = collect(ctx, q, func(row scanner) (us int64, err error) { return us, row.Scan(&us) }, `
			SELECT not_before - {now} FROM execution
			WHERE status = 'requested' AND class = $1 AND not_before > {now} ORDER BY not_before LIMIT 1`, class)
		if err != nil {
			return 0, false, wrap(err, "look up the next retry")
		}
		if len(us) == 1 && (!found || time.Duration(us[0])*time.Microsecond < next) {
			next, found = time.Duration(us[0])*time.Microsecond, true
		}
	}
	return next, found, nil
}

// InClass returns the ids of at most limit executions that wait in a class, due or not.
func (q *Queries) InClass(ctx context.Context, class string, limit int) ([]int64, error) {
	ids, err := collect(ctx, q, func(row scanner) (id int64, err error) { return id, row.Scan(&id) },
		`SELECT id FROM execution WHERE status = 'requested' AND class = $1 ORDER BY not_before, id LIMIT $2`, class, limit)
	return ids, wrap(err, "list class %s", class)
}

// The statements below are the sweep's. Their statuses are literals, and those of the index execution_sent are repeated
// where one is asked for: neither a parameter nor, to SQLite, a single status implies the index's condition.

// Unclaimed returns the executions that have been scheduled for longer than age.
func (q *Queries) Unclaimed(ctx context.Context, age time.Duration, limit int) ([]ExecutionRow, error) {
	rows, err := collect(ctx, q, scanExecution, `SELECT `+executionColumns+` FROM execution
		WHERE status = 'scheduled' AND status IN ('scheduled', 'canceling') AND scheduled_at < {now} - $1
		ORDER BY published_at LIMIT $2`, age.Microseconds(), limit)
	return rows, wrap(err, "list what was not claimed")
}

// TakeUnpublished returns the scheduled and canceling executions whose message is older than age, and marks them as
// published now, so that of several servers only one repeats a message.
func (q *Queries) TakeUnpublished(ctx context.Context, age time.Duration, limit int) ([]ExecutionRow, error) {
	rows, err := collect(ctx, q, scanExecution, `
		UPDATE execution SET published_at = {now}
		WHERE id IN (SELECT id FROM execution WHERE status IN ('scheduled', 'canceling') AND published_at < {now} - $1
			ORDER BY published_at LIMIT $2 {skip locked})
		RETURNING `+executionColumns, age.Microseconds(), limit)
	return rows, wrap(err, "take the executions to publish again")
}
