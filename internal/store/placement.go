package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
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
		(SELECT class_key FROM execution WHERE status = 'requested' ORDER BY class_key LIMIT 1) IS NOT NULL,
		(SELECT id FROM execution WHERE status IN ('scheduled', 'canceling') ORDER BY id LIMIT 1) IS NOT NULL`).Scan(&waiting, &sent)
	return waiting, sent, wrap(err, "look for what is not settled")
}

// keyOf returns what stands for a text where its length must not matter: an entry of an index of PostgreSQL can't be
// longer than a third of a page.
func keyOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// ofEachClass begins a statement that looks at each class that waits. It jumps from class to class in the index
// execution_waiting, so its cost is the number of classes and not the number of executions. It joins nothing:
// PostgreSQL would rather read a table of some thousand rows for each of a few than look these up.
const ofEachClass = `
	WITH RECURSIVE class (key) AS (
		SELECT (SELECT class_key FROM execution WHERE status = 'requested' ORDER BY class_key LIMIT 1)
		UNION ALL
		SELECT (SELECT e.class_key FROM execution e WHERE e.status = 'requested' AND e.class_key > class.key
			ORDER BY e.class_key LIMIT 1)
		FROM class WHERE class.key IS NOT NULL)`

// Line is the executions of one class that wait.
type Line struct {
	Class string
	Head  Waiting // who waits longest
	Due   bool    // it may be placed now
}

// Lines returns what waits, due or not, by class. Each head is read as one text: a subquery for each column would look
// it up as often.
func (q *Queries) Lines(ctx context.Context) ([]Line, error) {
	scan := func(row scanner) (l Line, err error) {
		var head string
		var now int64
		if err = row.Scan(&head, &now); err != nil {
			return l, err
		}
		since, rest, _ := strings.Cut(head, " ")
		id, class, _ := strings.Cut(rest, " ")
		if l.Head.NotBefore, err = strconv.ParseInt(since, 10, 64); err != nil {
			return l, err
		}
		l.Class, l.Due = class, l.Head.NotBefore <= now
		l.Head.ID, err = strconv.ParseInt(id, 10, 64)
		return l, err
	}
	lines, err := collect(ctx, q, scan, ofEachClass+`
		SELECT (SELECT e.not_before || ' ' || e.id || ' ' || e.class FROM execution e
			WHERE e.status = 'requested' AND e.class_key = class.key ORDER BY e.not_before, e.id LIMIT 1), {now}
		FROM class WHERE class.key IS NOT NULL`)
	return lines, wrap(err, "list what waits")
}

// Waiting is an execution that is to be placed.
type Waiting struct {
	ID        int64
	NotBefore int64 // microseconds
}

// Compare orders what waits: first comes what has been due for longer.
func (w Waiting) Compare(other Waiting) int {
	return cmp.Or(cmp.Compare(w.NotBefore, other.NotBefore), cmp.Compare(w.ID, other.ID))
}

// Due returns the heads of one class's line: at most limit executions, the longest due first.
func (q *Queries) Due(ctx context.Context, class string, limit int) ([]Waiting, error) {
	scan := func(row scanner) (w Waiting, err error) {
		return w, row.Scan(&w.ID, &w.NotBefore)
	}
	due, err := collect(ctx, q, scan, `
		SELECT id, not_before FROM execution
		WHERE status = 'requested' AND class_key = $1 AND not_before <= {now}
		ORDER BY not_before, id LIMIT $2`, keyOf(class), limit)
	return due, wrap(err, "list the head of class %s", class)
}

// NextDue returns how long it is until an execution that waits for its time is due, and false if there is none.
func (q *Queries) NextDue(ctx context.Context) (time.Duration, bool, error) {
	var us sql.NullInt64
	err := q.row(ctx, ofEachClass+`
		SELECT min((SELECT e.not_before FROM execution e
			WHERE e.status = 'requested' AND e.class_key = class.key AND e.not_before > {now}
			ORDER BY e.not_before LIMIT 1)) - {now}
		FROM class WHERE class.key IS NOT NULL`).Scan(&us)
	return time.Duration(us.Int64) * time.Microsecond, us.Valid, wrap(err, "look up the next retry")
}

// InClass returns the ids of at most limit executions that wait in a class, due or not.
func (q *Queries) InClass(ctx context.Context, class string, limit int) ([]int64, error) {
	ids, err := collect(ctx, q, func(row scanner) (id int64, err error) { return id, row.Scan(&id) }, `
		SELECT id FROM execution WHERE status = 'requested' AND class_key = $1
		ORDER BY not_before, id LIMIT $2`, keyOf(class), limit)
	return ids, wrap(err, "list class %s", class)
}

// The statements below are the sweep's. Their statuses are literals, and those of the index execution_sent are repeated
// where one is asked for: neither a parameter nor, to SQLite, a single status implies the index's condition.

// Unclaimed returns the executions that have been scheduled for longer than age.
func (q *Queries) Unclaimed(ctx context.Context, age time.Duration, limit int) ([]ExecutionRow, error) {
	rows, err := collect(ctx, q, scanExecution, `SELECT `+executionColumns+` FROM execution
		WHERE status = 'scheduled' AND status IN ('scheduled', 'canceling') AND scheduled_at < {now} - $1
		ORDER BY id LIMIT $2`, age.Microseconds(), limit)
	return rows, wrap(err, "list what was not claimed")
}

// Outlived returns the scheduled executions whose worker has a later incarnation, or no row any more.
func (q *Queries) Outlived(ctx context.Context, limit int) ([]ExecutionRow, error) {
	rows, err := collect(ctx, q, scanExecution, `SELECT `+executionColumns+` FROM execution e
		WHERE status = 'scheduled' AND status IN ('scheduled', 'canceling')
			AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = e.worker_id AND w.incarnation = e.incarnation)
		ORDER BY id LIMIT $1`, limit)
	return rows, wrap(err, "list what was placed on workers that have ended")
}

// TakeUnpublished returns the scheduled and canceling executions whose message is older than age, and marks them as
// published now, so that of several servers only one repeats a message.
func (q *Queries) TakeUnpublished(ctx context.Context, age time.Duration, limit int) ([]ExecutionRow, error) {
	rows, err := collect(ctx, q, scanExecution, `
		UPDATE execution SET published_at = {now}
		WHERE id IN (SELECT id FROM execution WHERE status IN ('scheduled', 'canceling') AND published_at < {now} - $1
			ORDER BY id LIMIT $2 {skip locked})
		RETURNING `+executionColumns, age.Microseconds(), limit)
	return rows, wrap(err, "take the executions to publish again")
}
