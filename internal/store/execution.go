package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/attune-automation/attune"
)

// NewExecution is what Submit stores. Parameters, Env and Context are JSON objects.
type NewExecution struct {
	ActionID       int64
	Action         attune.Ref
	MaxAttempts    int
	Class          string // what it asks of a worker; executions of equal classes are placed alike
	IdempotencyKey string // "" for none
	RequestDigest  string
	Timeout        time.Duration // 0: the worker's default
	Trace          bool
	Parameters     json.RawMessage // secret ones masked
	Secrets        []byte          // the values of the secret ones, encrypted; nil if there is none
	Env            json.RawMessage
	Context        json.RawMessage
	Parent         int64 // the execution that starts it; 0 for none
	Depth          int   // how many executions are above it
}

// InsertExecutions stores requested executions, and returns their rows in the same order. Where an idempotency key was
// used before, nothing is stored and the row is zero.
func (q *Queries) InsertExecutions(ctx context.Context, asked []NewExecution) ([]ExecutionRow, error) {
	rows := make([][]any, len(asked))
	for i, e := range asked {
		rows[i] = []any{
			e.ActionID, string(e.Action), e.MaxAttempts, e.Class, keyOf(e.Class), e.IdempotencyKey, e.RequestDigest,
			e.Timeout.Microseconds(), e.Trace, []byte(e.Parameters), nullBytes(e.Secrets), []byte(e.Env), []byte(e.Context),
			sql.NullInt64{Int64: e.Parent, Valid: e.Parent != 0}, e.Depth,
		}
	}
	list, args := valuesList(nil, rows, "BIGINT", "TEXT", "INTEGER", "TEXT", "TEXT", "TEXT", "TEXT",
		"BIGINT", "BOOLEAN", "{bytes}", "{bytes}", "{bytes}", "{bytes}", "BIGINT", "INTEGER")
	made := make([]ExecutionRow, len(asked))
	err := each(ctx, q, func(row scanner) error {
		var key sql.NullString
		r, err := scanExecutionAnd(row, &key)
		if err != nil {
			return err
		}
		// No database promises an order of what it returns.
		for i, e := range asked {
			if made[i].ID == 0 && e.became(r, key.String) {
				made[i] = r
				return nil
			}
		}
		return attune.Errorf(attune.CodeInternal, "the database has stored execution %d, which is not as it was to be", r.ID)
	}, `
		WITH asked (action_id, action_ref, max_attempts, class, class_key, idempotency_key, request_digest, timeout_us, trace,
			parameters, secrets, env, context, parent_id, depth) AS (`+list+`)
		INSERT INTO execution (action_id, action_ref, status, attempt, max_attempts, class, class_key,
			idempotency_key, request_digest, timeout_us, trace, not_before, published_at, created_at,
			parameters, secrets, env, context, parent_id, depth)
		SELECT action_id, action_ref, 'requested', 1, max_attempts, class, class_key, NULLIF(idempotency_key, ''),
			request_digest, timeout_us, trace, {now}, {now}, {now}, parameters, secrets, env, context, parent_id, depth
		FROM asked WHERE action_id IS NOT NULL
		ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
		RETURNING `+executionColumns+`, idempotency_key`, args...)
	return made, wrap(err, "store %d executions", len(asked))
}

// became tells whether a row, with its idempotency key, is what was asked for. Two rows of which it tells that are alike
// in all that was.
func (e NewExecution) became(r ExecutionRow, key string) bool {
	return r.ActionID == e.ActionID && r.Class == e.Class && r.Timeout == e.Timeout.Truncate(time.Microsecond) && r.Trace == e.Trace &&
		key == e.IdempotencyKey && bytes.Equal(r.Parameters, e.Parameters) && bytes.Equal(r.Secrets, e.Secrets) &&
		bytes.Equal(r.Env, e.Env) && bytes.Equal(r.Context, e.Context) && r.startedBy() == e.Parent
}

// ByIdempotencyKey returns the id and the request's digest of the execution that was submitted with key, or 0.
func (q *Queries) ByIdempotencyKey(ctx context.Context, key string) (id int64, digest string, err error) {
	err = q.row(ctx, `SELECT id, request_digest FROM execution WHERE idempotency_key = $1`, key).Scan(&id, &digest)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return id, digest, wrap(err, "look up the idempotency key")
}

// ExecutionRow is an execution with what users don't see of it.
type ExecutionRow struct {
	attune.Execution
	ActionID    int64
	Class       string
	Depth       int   // how many executions are above it, each of which has started the next
	WorkerID    int64 // 0 before it was placed
	Incarnation int64
	Timeout     time.Duration
	Trace       bool
	NotBefore   time.Time
	CancelledBy string
	Secrets     []byte // the values of secret parameters, encrypted; nil if there is none
	Env         json.RawMessage
	Context     json.RawMessage
}

// startedBy is the id of the parent, 0 if there is none.
func (r ExecutionRow) startedBy() int64 {
	if r.Parent == nil {
		return 0
	}
	return *r.Parent
}

// Fence returns what identifies the row's present attempt.
func (r ExecutionRow) Fence() attune.Fence {
	return attune.Fence{ExecutionID: r.ID, Attempt: r.Attempt, WorkerID: r.WorkerID, Incarnation: r.Incarnation}
}

const executionColumns = `id, parent_id, depth, action_id, action_ref, status, attempt, max_attempts, class, timeout_us, trace,
	worker_id, worker_name, incarnation, not_before, created_at, scheduled_at, started_at, finished_at, cancelled_by,
	exit_code, signal, error_kind, error_message, stdout_bytes, stdout_dropped, stderr_bytes, stderr_dropped,
	cpu_ms, max_rss_bytes, processes, parameters, secrets, env, context, result`

func scanExecution(row scanner) (ExecutionRow, error) { return scanExecutionAnd(row) }

// scanExecutionAnd reads executionColumns, and into more what was asked for after them.
func scanExecutionAnd(row scanner, more ...any) (r ExecutionRow, err error) {
	var (
		timeout, notBefore, created  int64
		worker, incarnation          sql.NullInt64
		scheduled, started, finished sql.NullInt64
		cancelledBy, kind, message   sql.NullString
		processes                    sql.NullString
		parameters, env, bag, result []byte
		status, ref                  string
	)
	columns := []any{&r.ID, &r.Parent, &r.Depth, &r.ActionID, &ref, &status, &r.Attempt, &r.MaxAttempts, &r.Class, &timeout, &r.Trace,
		&worker, &r.Worker, &incarnation, &notBefore, &created, &scheduled, &started, &finished, &cancelledBy,
		&r.ExitCode, &r.Signal, &kind, &message, &r.Stdout.Bytes, &r.Stdout.DroppedBytes,
		&r.Stderr.Bytes, &r.Stderr.DroppedBytes, &r.Resources.CPUMillis, &r.Resources.MaxRSSBytes,
		&processes, &parameters, &r.Secrets, &env, &bag, &result}
	if err = row.Scan(append(columns, more...)...); err != nil {
		return r, err
	}
	r.Action, r.Status = attune.Ref(ref), attune.Status(status)
	r.WorkerID, r.Incarnation, r.CancelledBy = worker.Int64, incarnation.Int64, cancelledBy.String
	r.Timeout, r.NotBefore, r.CreatedAt = time.Duration(timeout)*time.Microsecond, fromMicros(notBefore), fromMicros(created)
	r.ScheduledAt, r.StartedAt, r.FinishedAt = fromNullMicros(scheduled), fromNullMicros(started), fromNullMicros(finished)
	if started.Valid && finished.Valid {
		ms := (finished.Int64 - started.Int64) / 1000
		r.DurationMS = &ms
	}
	if kind.Valid {
		r.Error = &attune.Failure{Kind: attune.FailureKind(kind.String), Message: message.String}
	}
	if processes.Valid {
		if err := json.Unmarshal([]byte(processes.String), &r.Processes); err != nil {
			return r, fmt.Errorf("processes of execution %d: %w", r.ID, err)
		}
	}
	r.Parameters, r.Env, r.Context, r.Result = parameters, env, bag, result
	return r, nil
}

// Execution returns one execution.
func (q *Queries) Execution(ctx context.Context, id int64) (ExecutionRow, error) {
	return q.oneExecution(ctx, id, `SELECT `+executionColumns+` FROM execution WHERE id = $1`)
}

// LockExecution returns one execution, which nobody else changes before the transaction ends.
func (q *Queries) LockExecution(ctx context.Context, id int64) (ExecutionRow, error) {
	return q.oneExecution(ctx, id, `SELECT `+executionColumns+` FROM execution WHERE id = $1 {for update}`)
}

// ExecutionsByID returns those of the executions that there are.
func (q *Queries) ExecutionsByID(ctx context.Context, ids []int64) ([]ExecutionRow, error) {
	list, args := inList(nil, ids)
	rows, err := collect(ctx, q, scanExecution, `SELECT `+executionColumns+` FROM execution WHERE id IN `+list, args...)
	return rows, wrap(err, "load %d executions", len(ids))
}

// NoExecution is the error of an execution that there is not.
func NoExecution(id int64) error {
	return attune.Errorf(attune.CodeNotFound, "there is no execution %d: `attune execution list` shows what there is", id)
}

func (q *Queries) oneExecution(ctx context.Context, id int64, query string) (ExecutionRow, error) {
	r, err := scanExecution(q.row(ctx, query, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, NoExecution(id)
	}
	return r, wrap(err, "load execution %d", id)
}

// HeldBy returns the executions of one status that a worker holds, oldest first.
func (q *Queries) HeldBy(ctx context.Context, workerID int64, status attune.Status) ([]ExecutionRow, error) {
	rows, err := collect(ctx, q, scanExecution, `SELECT `+executionColumns+` FROM execution
		WHERE worker_id = $1 AND status = $2 AND status IN ('scheduled', 'running', 'canceling') ORDER BY id`,
		workerID, string(status))
	return rows, wrap(err, "list what worker %d holds", workerID)
}

func placeholder(n int) string { return "$" + strconv.Itoa(n) }

// DeleteExecution removes a final execution with its attempts and artifact rows; it returns false if it is not final.
func (q *Queries) DeleteExecution(ctx context.Context, id int64) (bool, error) {
	n, err := q.exec(ctx, `DELETE FROM execution
		WHERE id = $1 AND status IN ('completed', 'failed', 'timeout', 'cancelled', 'abandoned')`, id)
	return n > 0, wrap(err, "delete execution %d", id)
}
