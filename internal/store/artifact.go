package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/attune-automation/attune"
)

// Left is what an attempt of an execution has left on a worker.
type Left struct {
	ExecutionID int64
	Worker      string
	Artifacts   []attune.Artifact
}

// artifactRows bounds how many rows one statement stores.
const artifactRows = 128

// PutArtifacts stores the rows of what attempts left; rows that are there already are replaced, because Finish may be
// repeated.
func (q *Queries) PutArtifacts(ctx context.Context, left ...Left) error {
	var rows [][]any
	for _, l := range left {
		for _, a := range l.Artifacts {
			rows = append(rows, []any{l.ExecutionID, a.Attempt, a.Name, string(a.Type), a.Bytes, l.Worker})
		}
	}
	for some := range slices.Chunk(rows, artifactRows) {
		list, args := valuesList(nil, some, "BIGINT", "INTEGER", "TEXT", "TEXT", "BIGINT", "TEXT")
		_, err := q.exec(ctx, `
			WITH kept (execution_id, attempt, name, type, bytes, worker_name) AS (`+list+`)
			INSERT INTO artifact (execution_id, attempt, name, type, bytes, worker_name, created_at)
			SELECT execution_id, attempt, name, type, bytes, worker_name, {now} FROM kept WHERE execution_id IS NOT NULL
			ON CONFLICT (execution_id, attempt, name) DO UPDATE SET type = excluded.type, bytes = excluded.bytes`, args...)
		if err != nil {
			return wrap(err, "store artifacts of execution %d and others", some[0][0])
		}
	}
	return nil
}

// StoredArtifact is an artifact and the worker that has its file.
type StoredArtifact struct {
	attune.Artifact
	Worker string
}

// Artifacts returns what an execution left, by attempt and name.
func (q *Queries) Artifacts(ctx context.Context, executionID int64) ([]StoredArtifact, error) {
	scan := func(row scanner) (a StoredArtifact, err error) {
		var created int64
		err = row.Scan(&a.Attempt, &a.Name, (*string)(&a.Type), &a.Bytes, &a.Worker, &created)
		a.CreatedAt = fromMicros(created)
		return a, err
	}
	artifacts, err := collect(ctx, q, scan, `SELECT attempt, name, type, bytes, worker_name, created_at FROM artifact
		WHERE execution_id = $1 ORDER BY attempt, name`, executionID)
	return artifacts, wrap(err, "list the artifacts of execution %d", executionID)
}

// ExpireArtifacts removes at most limit artifact rows of final executions that are older than age.
func (q *Queries) ExpireArtifacts(ctx context.Context, age time.Duration, limit int) (int64, error) {
	n, err := q.exec(ctx, `
		DELETE FROM artifact WHERE id IN (
			SELECT a.id FROM artifact a JOIN execution e ON e.id = a.execution_id
			WHERE a.created_at < {now} - $1
				AND e.status IN ('completed', 'failed', 'timeout', 'cancelled', 'abandoned')
			ORDER BY a.created_at LIMIT $2)`, age.Microseconds(), limit)
	return n, wrap(err, "expire artifact rows")
}

// WorkersOf returns the names of all workers that an execution was on, which keep its files.
func (q *Queries) WorkersOf(ctx context.Context, executionID int64) ([]string, error) {
	scan := func(row scanner) (name string, err error) { return name, row.Scan(&name) }
	names, err := collect(ctx, q, scan, `
		SELECT worker_name FROM execution WHERE id = $1 AND worker_name IS NOT NULL
		UNION SELECT worker_name FROM execution_attempt WHERE execution_id = $1`, executionID)
	return names, wrap(err, "list the workers of execution %d", executionID)
}

// WorkerOf returns the name of the worker that has, or had, an attempt of an execution; nil if none had it.
func (q *Queries) WorkerOf(ctx context.Context, row ExecutionRow, attempt int) (*string, error) {
	if attempt == row.Attempt {
		return row.Worker, nil
	}
	var name string
	err := q.row(ctx, `SELECT worker_name FROM execution_attempt WHERE execution_id = $1 AND attempt = $2`,
		row.ID, attempt).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &name, wrap(err, "look up attempt %d of execution %d", attempt, row.ID)
}
