package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// The statements below change a status. Each names the status that it starts from and, once a worker has the
// execution, the fence; each returns whether the row was as named. Only package execution calls them.
//
// The row is found by its id. PostgreSQL would also read the whole of a partial index, if it once was empty when it
// planned: status || '' is no condition of any index.

// MarkScheduled places a requested execution on a worker, and returns which attempt that is.
func (q *Queries) MarkScheduled(ctx context.Context, id int64, w WorkerRow) (attempt int, ok bool, err error) {
	err = q.row(ctx, `
		UPDATE execution SET status = 'scheduled', worker_id = $2, worker_name = $3, incarnation = $4,
			scheduled_at = {now}, published_at = {now}
		WHERE id = $1 AND status || '' = 'requested'
		RETURNING attempt`, id, w.ID, w.Name, w.Incarnation).Scan(&attempt)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return attempt, err == nil, wrap(err, "schedule execution %d", id)
}

// Claimed is what a claim has made of an execution.
type Claimed struct {
	ExecutionRow
	PassedOver bool // its worker is passed over until it claims something, as it now has
}

// MarkRunning is a worker's claim of what was placed on it.
func (q *Queries) MarkRunning(ctx context.Context, f attune.Fence) (c Claimed, ok bool, err error) {
	row := q.row(ctx, `
		UPDATE execution SET status = 'running', started_at = {now}
		WHERE id = $1 AND status || '' = 'scheduled' AND attempt = $2 AND worker_id = $3 AND incarnation = $4
		RETURNING `+executionColumns+`, (SELECT w.passed_over FROM worker w WHERE w.id = execution.worker_id)`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation)
	var passedOver sql.NullBool
	c.ExecutionRow, err = scanExecutionAnd(row, &passedOver)
	if errors.Is(err, sql.ErrNoRows) {
		return Claimed{}, false, nil
	}
	c.PassedOver = passedOver.Bool
	return c, err == nil, wrap(err, "claim execution %d", f.ExecutionID)
}

// MarkReleased gives back a scheduled execution that was not claimed.
func (q *Queries) MarkReleased(ctx context.Context, f attune.Fence) (bool, error) {
	n, err := q.exec(ctx, `
		UPDATE execution SET status = 'requested', worker_id = NULL, worker_name = NULL, incarnation = NULL,
			scheduled_at = NULL, published_at = {now}
		WHERE id = $1 AND status || '' = 'scheduled' AND attempt = $2 AND worker_id = $3 AND incarnation = $4`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation)
	return n > 0, wrap(err, "release execution %d", f.ExecutionID)
}

// Finished tells of an execution that has ended what others are told of it.
type Finished struct {
	Action attune.Ref
	Worker string
	At     time.Time // of the change in the table, which may be later than the end
}

// MarkFinished ends a live execution for good. The caller has checked that from can become o.Status.
func (q *Queries) MarkFinished(ctx context.Context, f attune.Fence, from attune.Status, o attune.Outcome) (done Finished, ok bool, err error) {
	kind, message := failureColumns(o.Failure)
	var at int64
	err = q.row(ctx, `
		UPDATE execution SET status = $6, finished_at = `+endedAgo("$18")+`, exit_code = $7, signal = $8, error_kind = $9,
			error_message = $10, stdout_bytes = $11, stdout_dropped = $12, stderr_bytes = $13, stderr_dropped = $14,
			cpu_ms = $15, max_rss_bytes = $16, result = $17
		WHERE id = $1 AND attempt = $2 AND worker_id = $3 AND incarnation = $4 AND status || '' = $5
		RETURNING action_ref, worker_name, {now}`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation, string(from), string(o.Status), o.ExitCode, o.Signal,
		kind, message, o.Stdout.Bytes, o.Stdout.DroppedBytes, o.Stderr.Bytes, o.Stderr.DroppedBytes,
		o.Resources.CPUMillis, o.Resources.MaxRSSBytes, nullBytes(o.Result), o.Age.Microseconds(),
	).Scan((*string)(&done.Action), &done.Worker, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return Finished{}, false, nil
	}
	done.At = fromMicros(at)
	return done, err == nil, wrap(err, "finish execution %d", f.ExecutionID)
}

// endedAgo is the time before now by so many microseconds, but never before the start: hosts have clocks of their own.
func endedAgo(microseconds string) string {
	return "CASE WHEN {now} - " + microseconds + " > started_at THEN {now} - " + microseconds + " ELSE started_at END"
}

// MarkRetried keeps how the running attempt ended as an execution_attempt and requests the next one after delay.
func (q *Queries) MarkRetried(ctx context.Context, f attune.Fence, o attune.Outcome, delay time.Duration) (bool, error) {
	kind, message := failureColumns(o.Failure)
	_, err := q.exec(ctx, `
		INSERT INTO execution_attempt (execution_id, attempt, status, worker_id, worker_name, incarnation, scheduled_at,
			started_at, finished_at, exit_code, signal, error_kind, error_message, stdout_bytes, stdout_dropped,
			stderr_bytes, stderr_dropped, cpu_ms, max_rss_bytes)
		SELECT id, attempt, $5, worker_id, worker_name, incarnation, scheduled_at, started_at, `+endedAgo("$16")+`,
			$6, $7, $8, $9, $10, $11, $12, $13, $14, $15
		FROM execution
		WHERE id = $1 AND attempt = $2 AND worker_id = $3 AND incarnation = $4 AND status || '' = 'running'`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation, string(o.Status), o.ExitCode, o.Signal, kind, message,
		o.Stdout.Bytes, o.Stdout.DroppedBytes, o.Stderr.Bytes, o.Stderr.DroppedBytes,
		o.Resources.CPUMillis, o.Resources.MaxRSSBytes, o.Age.Microseconds())
	if err != nil {
		return false, wrap(err, "keep attempt %d of execution %d", f.Attempt, f.ExecutionID)
	}
	n, err := q.exec(ctx, `
		UPDATE execution SET status = 'requested', attempt = attempt + 1, not_before = {now} + $5, published_at = {now},
			worker_id = NULL, worker_name = NULL, incarnation = NULL, scheduled_at = NULL, started_at = NULL
		WHERE id = $1 AND attempt = $2 AND worker_id = $3 AND incarnation = $4 AND status || '' = 'running'`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation, delay.Microseconds())
	return n > 0, wrap(err, "retry execution %d", f.ExecutionID)
}

// MarkCanceling asks the worker of a running execution to end it.
func (q *Queries) MarkCanceling(ctx context.Context, id int64, by string) (bool, error) {
	n, err := q.exec(ctx, `UPDATE execution SET status = 'canceling', cancelled_by = $2, published_at = {now}
		WHERE id = $1 AND status || '' = 'running'`, id, clean(by))
	return n > 0, wrap(err, "cancel execution %d", id)
}

// MarkEnded ends an execution that has not begun: cancelled or, if it can never run, failed.
func (q *Queries) MarkEnded(ctx context.Context, id int64, from, to attune.Status, by string, why attune.Failure) (bool, error) {
	n, err := q.exec(ctx, `
		UPDATE execution SET status = $3, finished_at = {now}, cancelled_by = NULLIF($4, ''), error_kind = $5, error_message = $6
		WHERE id = $1 AND status || '' = $2 AND status || '' IN ('requested', 'scheduled')`,
		id, string(from), string(to), clean(by), string(why.Kind), clean(why.Message))
	return n > 0, wrap(err, "end execution %d", id)
}

// EndedAttempt returns how this worker's attempt was kept as an ended one, or "" if it was not.
func (q *Queries) EndedAttempt(ctx context.Context, f attune.Fence) (attune.Status, error) {
	var status string
	err := q.row(ctx, `SELECT status FROM execution_attempt
		WHERE execution_id = $1 AND attempt = $2 AND worker_id = $3 AND incarnation = $4`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation).Scan(&status)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return attune.Status(status), wrap(err, "look up attempt %d of execution %d", f.Attempt, f.ExecutionID)
}

func failureColumns(f *attune.Failure) (kind, message sql.NullString) {
	if f == nil {
		return kind, message
	}
	return sql.NullString{String: string(f.Kind), Valid: true}, sql.NullString{String: clean(f.Message), Valid: true}
}

// clean makes a text what every database takes: PostgreSQL refuses NUL and invalid UTF-8, which actions may well put
// into a message, and no end of an execution may depend on that.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func nullBytes(b json.RawMessage) any {
	if b == nil {
		return nil
	}
	return []byte(b)
}
