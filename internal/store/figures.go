package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/attune-automation/attune"
)

// LineFigures say how many executions of one class wait.
type LineFigures struct {
	Class string
	Due   int       // may begin now, counted up to a limit
	Later int       // wait for their time, counted up to a limit
	Since time.Time // when the first one was or will be due
}

// maxLines bounds the classes that CountLines looks at.
const maxLines = 1000

// CountLines tells how many executions wait in each class, counting up to limit in each, and the database's time.
func (q *Queries) CountLines(ctx context.Context, limit int) (lines []LineFigures, now time.Time, err error) {
	scan := func(row scanner) (l LineFigures, err error) {
		var head string
		var us int64
		if err = row.Scan(&head, &l.Due, &l.Later, &us); err != nil {
			return l, err
		}
		since, class, _ := strings.Cut(head, " ")
		micros, err := strconv.ParseInt(since, 10, 64)
		l.Class, l.Since, now = class, fromMicros(micros), fromMicros(us)
		return l, err
	}
	lines, err = collect(ctx, q, scan, ofEachClass+`
		SELECT (SELECT e.not_before || ' ' || e.class FROM execution e
				WHERE e.status = 'requested' AND e.class_key = class.key ORDER BY e.not_before, e.id LIMIT 1),
			(SELECT count(*) FROM (SELECT e.id FROM execution e
				WHERE e.status = 'requested' AND e.class_key = class.key AND e.not_before <= {now} LIMIT $1) AS due),
			(SELECT count(*) FROM (SELECT e.id FROM execution e
				WHERE e.status = 'requested' AND e.class_key = class.key AND e.not_before > {now} LIMIT $1) AS later),
			{now}
		FROM class WHERE class.key IS NOT NULL LIMIT $2`, limit, maxLines)
	return lines, now, wrap(err, "count what waits")
}

// CountHeld tells how many executions workers hold, by status. They are never more than there are slots.
func (q *Queries) CountHeld(ctx context.Context) (map[attune.Status]int, error) {
	held := map[attune.Status]int{}
	err := each(ctx, q, func(row scanner) error {
		var status string
		var n int
		err := row.Scan(&status, &n)
		held[attune.Status(status)] = n
		return err
	}, `SELECT status, count(*) FROM execution WHERE status IN ('scheduled', 'running', 'canceling') GROUP BY status`)
	return held, wrap(err, "count what workers hold")
}

// EndedTimes say how an execution ended, and when.
type EndedTimes struct {
	Status     attune.Status
	CreatedAt  time.Time
	StartedAt  *time.Time // of its last attempt; nil if none began
	FinishedAt time.Time
}

// EndedByID returns those of the executions that have ended.
func (q *Queries) EndedByID(ctx context.Context, ids []int64) ([]EndedTimes, error) {
	list, args := inList(nil, ids)
	rows, err := collect(ctx, q, func(row scanner) (e EndedTimes, err error) {
		var status string
		var created, finished int64
		var started sql.NullInt64
		err = row.Scan(&status, &created, &started, &finished)
		e.Status, e.CreatedAt, e.StartedAt, e.FinishedAt = attune.Status(status), fromMicros(created), fromNullMicros(started), fromMicros(finished)
		return e, err
	}, `SELECT status, created_at, started_at, finished_at FROM execution WHERE finished_at IS NOT NULL AND id IN `+list, args...)
	return rows, wrap(err, "load how %d executions ended", len(ids))
}

// Figures say how the connections are doing.
type Figures struct {
	Read, Write sql.DBStats
	Unavailable int64 // statements that failed since the start because the database was busy, locked or away
	Failed      int64 // and those that failed otherwise: conflicts between writers, and faults of ours
}

// Figures returns them, as of now.
func (s *Store) Figures() Figures {
	return Figures{
		Read: s.read.pool.Stats(), Write: s.write.pool.Stats(),
		Unavailable: s.read.failures.unavailable.Load() + s.write.failures.unavailable.Load(),
		Failed:      s.read.failures.others.Load() + s.write.failures.others.Load(),
	}
}

// failures counts the statements that failed. One that finds nothing has not, nor has one whose asker has gone.
type failures struct{ unavailable, others atomic.Int64 }

func (f *failures) count(err error) {
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), errors.Is(err, context.Canceled):
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		f.unavailable.Add(1)
	default:
		f.others.Add(1)
	}
}

// told classifies the error of a statement, and counts it.
func (s *statements) told(d *dialect, err error) error {
	err = classify(d, err)
	s.failures.count(err)
	return err
}
