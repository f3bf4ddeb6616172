package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// artifactBatches are how many rows one statement stores: few sizes, because each is a statement of its own.
var artifactBatches = []int{100, 10, 3, 2, 1}

// PutArtifacts stores the rows of what an attempt left; rows that are there already are replaced, because Finish may
// be repeated.
func (q *Queries) PutArtifacts(ctx context.Context, executionID int64, worker string, artifacts []attune.Artifact) error {
	for len(artifacts) > 0 {
		fits := slices.IndexFunc(artifactBatches, func(size int) bool { return size <= len(artifacts) })
		batch := artifacts[:artifactBatches[fits]]
		artifacts = artifacts[len(batch):]
		if err := q.putArtifacts(ctx, executionID, worker, batch); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queries) putArtifacts(ctx context.Context, executionID int64, worker string, batch []attune.Artifact) error {
	args := []any{executionID, worker}
	rows := make([]string, len(batch))
	for i, a := range batch {
		n := len(args)
		rows[i] = fmt.Sprintf("($1, $%d, $%d, $%d, $%d, $2, {now})", n+1, n+2, n+3, n+4)
		args = append(args, a.Attempt, a.Name, string(a.Type), a.Bytes)
	}
	_, err := q.exec(ctx, `INSERT INTO artifact (execution_id, attempt, name, type, bytes, worker_name, created_at)
		VALUES `+strings.Join(rows, ", ")+`
		ON CONFLICT (execution_id, attempt, name) DO UPDATE SET type = excluded.type, bytes = excluded.bytes`, args...)
	return wrap(err, "store the artifacts of execution %d", executionID)
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
