package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// The statements below change a status. Each names the status that it starts from and, once a worker has the
// execution, the fence; each returns whether the row was as named. Only package execution calls them.
//
// The row is found by its id. PostgreSQL would also read the whole of a partial index, if it once was empty when it
// planned: status || '' is no condition of any index.

// MarkScheduled places requested executions on a worker, and returns which attempt that is, of each that was placed.
func (q *Queries) MarkScheduled(ctx context.Context, w WorkerRow, ids []int64) (attempts map[int64]int, err error) {
	list, args := inList([]any{w.ID, w.Name, w.Incarnation}, ids)
	attempts = make(map[int64]int, len(ids))
	err = each(ctx, q, func(row scanner) error {
		var id int64
		var attempt int
		err := row.Scan(&id, &attempt)
		attempts[id] = attempt
		return err
	}, `
		UPDATE execution SET status = 'scheduled', worker_id = $1, worker_name = $2, incarnation = $3,
			scheduled_at = {now}, published_at = {now}
		WHERE id IN `+list+` AND status || '' = 'requested'
		RETURNING id, attempt`, args...)
	return attempts, wrap(err, "schedule %d executions on worker %d", len(ids), w.ID)
}

// Claimed is what a claim has made of an execution.
type Claimed struct {
	ExecutionRow
	PassedOver bool // its worker is passed over until it claims something, as it now has
}

// MarkRunning is a worker's claim of what was placed on it, and returns what it has got.
func (q *Queries) MarkRunning(ctx context.Context, fences []attune.Fence) (map[attune.Fence]Claimed, error) {
	got := make(map[attune.Fence]Claimed, len(fences))
	for _, some := range alike(fences) {
		list, args := inList([]any{some.attempt, some.worker, some.incarnation}, some.ids)
		err := each(ctx, q, func(row scanner) (err error) {
			var c Claimed
			var passedOver sql.NullBool
			c.ExecutionRow, err = scanExecutionAnd(row, &passedOver)
			c.PassedOver = passedOver.Bool
			got[c.Fence()] = c
			return err
		}, `
			UPDATE execution SET status = 'running', started_at = {now}
			WHERE id IN `+list+` AND status || '' = 'scheduled' AND attempt = $1 AND worker_id = $2 AND incarnation = $3
			RETURNING `+executionColumns+`, (SELECT w.passed_over FROM worker w WHERE w.id = execution.worker_id)`, args...)
		if err != nil {
			return nil, wrap(err, "claim %d executions", len(some.ids))
		}
	}
	return got, nil
}

// group is fences that differ in nothing but the execution.
type group struct {
	attempt             int
	worker, incarnation int64
	ids                 []int64
}

func (g *group) has(f attune.Fence) bool {
	return g.attempt == f.Attempt && g.worker == f.WorkerID && g.incarnation == f.Incarnation
}

// alike groups fences, of which nearly all are alike: first attempts on one worker.
func alike(fences []attune.Fence) (groups []*group) {
	for _, f := range fences {
		i := slices.IndexFunc(groups, func(g *group) bool { return g.has(f) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &group{attempt: f.Attempt, worker: f.WorkerID, incarnation: f.Incarnation})
		}
		groups[i].ids = append(groups[i].ids, f.ExecutionID)
	}
	return groups
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

// Ended is how an attempt has ended.
type Ended struct {
	Fence   attune.Fence
	Outcome attune.Outcome
}

// Finished tells of an execution that has ended what others are told of it.
type Finished struct {
	Action attune.Ref
	Worker string
	At     time.Time // of the change in the table, which may be later than the end
}

// MarkFinished ends live executions for good, and returns those that were as named. The caller has checked that from
// can become the status of each.
func (q *Queries) MarkFinished(ctx context.Context, from attune.Status, ended []Ended) (map[attune.Fence]Finished, error) {
	rows := make([][]any, len(ended))
	for i, e := range ended {
		o := e.Outcome
		kind, message := failureColumns(o.Failure)
		rows[i] = []any{
			e.Fence.ExecutionID, e.Fence.Attempt, e.Fence.WorkerID, e.Fence.Incarnation, string(o.Status), o.Age.Microseconds(),
			o.ExitCode, o.Signal, kind, message, o.Stdout.Bytes, o.Stdout.DroppedBytes, o.Stderr.Bytes, o.Stderr.DroppedBytes,
			o.Resources.CPUMillis, o.Resources.MaxRSSBytes, processesColumn(o.Processes), nullBytes(o.Result),
		}
	}
	list, args := valuesList([]any{string(from)}, rows, "BIGINT", "INTEGER", "BIGINT", "BIGINT", "TEXT", "BIGINT",
		"INTEGER", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "{bytes}")
	done := make(map[attune.Fence]Finished, len(ended))
	err := each(ctx, q, func(row scanner) error {
		var f attune.Fence
		var one Finished
		var at int64
		err := row.Scan(&f.ExecutionID, &f.Attempt, &f.WorkerID, &f.Incarnation, (*string)(&one.Action), &one.Worker, &at)
		one.At = fromMicros(at)
		done[f] = one
		return err
	}, `
		WITH ended (ended_id, ended_attempt, ended_on, ended_life, ended_as, age, code, sig, kind, message,
			out_bytes, out_dropped, err_bytes, err_dropped, cpu, rss, ends, value) AS (`+list+`)
		UPDATE execution SET status = ended_as, finished_at = `+endedAgo("age")+`, exit_code = code, signal = sig,
			error_kind = kind, error_message = message, stdout_bytes = out_bytes, stdout_dropped = out_dropped,
			stderr_bytes = err_bytes, stderr_dropped = err_dropped, cpu_ms = cpu, max_rss_bytes = rss, processes = ends, result = value
		FROM ended
		WHERE id = ended_id AND attempt = ended_attempt AND worker_id = ended_on AND incarnation = ended_life
			AND status || '' = $1
		RETURNING id, attempt, worker_id, incarnation, action_ref, worker_name, {now}`, args...)
	return done, wrap(err, "finish %d executions", len(ended))
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
			stderr_bytes, stderr_dropped, cpu_ms, max_rss_bytes, processes)
		SELECT id, attempt, $5, worker_id, worker_name, incarnation, scheduled_at, started_at, `+endedAgo("$16")+`,
			$6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $17
		FROM execution
		WHERE id = $1 AND attempt = $2 AND worker_id = $3 AND incarnation = $4 AND status || '' = 'running'`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation, string(o.Status), o.ExitCode, o.Signal, kind, message,
		o.Stdout.Bytes, o.Stdout.DroppedBytes, o.Stderr.Bytes, o.Stderr.DroppedBytes,
		o.Resources.CPUMillis, o.Resources.MaxRSSBytes, o.Age.Microseconds(), processesColumn(o.Processes))
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

// EndedAttempt returns how this worker's attempt was kept as an ended one, and the worker's name, or "" if it was not.
func (q *Queries) EndedAttempt(ctx context.Context, f attune.Fence) (status attune.Status, worker string, err error) {
	err = q.row(ctx, `SELECT status, worker_name FROM execution_attempt
		WHERE execution_id = $1 AND attempt = $2 AND worker_id = $3 AND incarnation = $4`,
		f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation).Scan((*string)(&status), &worker)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	return status, worker, wrap(err, "look up attempt %d of execution %d", f.Attempt, f.ExecutionID)
}

// SetOutput notes how much an attempt wrote that has ended without anybody's knowing that.
func (q *Queries) SetOutput(ctx context.Context, f attune.Fence, stdout, stderr attune.Output) error {
	const set = ` SET stdout_bytes = $5, stdout_dropped = $6, stderr_bytes = $7, stderr_dropped = $8
		WHERE attempt = $2 AND worker_id = $3 AND incarnation = $4 AND stdout_bytes = 0 AND stderr_bytes = 0 AND `
	for _, statement := range []string{`UPDATE execution` + set + `id = $1`, `UPDATE execution_attempt` + set + `execution_id = $1`} {
		_, err := q.exec(ctx, statement, f.ExecutionID, f.Attempt, f.WorkerID, f.Incarnation,
			stdout.Bytes, stdout.DroppedBytes, stderr.Bytes, stderr.DroppedBytes)
		if err != nil {
			return wrap(err, "note the output of attempt %d of execution %d", f.Attempt, f.ExecutionID)
		}
	}
	return nil
}

func failureColumns(f *attune.Failure) (kind, message sql.NullString) {
	if f == nil {
		return kind, message
	}
	return sql.NullString{String: string(f.Kind), Valid: true}, sql.NullString{String: clean(f.Message), Valid: true}
}

// processesColumn is how the processes ended, as JSON, which takes any name that a process may have.
func processesColumn(p *attune.Processes) sql.NullString {
	text, err := json.Marshal(p)
	return sql.NullString{String: string(text), Valid: p != nil && err == nil}
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
