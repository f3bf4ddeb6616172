package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
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
	Location    Location // "" for LocationWorker
	Order       attune.OutputOrder
}

// order is what the row of one of the artifacts has of the order, NULL but for one.
func (l Left) order(of attune.Artifact) (*string, error) {
	if l.Order == nil || of.Type != attune.ArtifactLog || of.Name != attune.Stderr.LogFile() {
		return nil, nil
	}
	text, err := json.Marshal(l.Order)
	turns := string(text)
	return &turns, err
}

// Location is where an artifact's content is.
type Location string

// The locations. An artifact begins at one of the first two, by whether its worker has an artifact store.
const (
	LocationWorker  Location = "worker"  // in the directory of its worker, and nowhere else
	LocationPending Location = "pending" // there, until the worker has put it into the artifact store
	LocationStored  Location = "stored"  // in the artifact store; what is empty needs no object there
)

// artifactRows bounds how many rows one statement stores.
const artifactRows = 128

// PutArtifacts stores the rows of what attempts left; rows that are there already are replaced, because Finish may be
// repeated.
func (q *Queries) PutArtifacts(ctx context.Context, left ...Left) error {
	return q.putArtifacts(ctx, "{now}", "TRUE", left)
}

// PutFound stores the rows of what was found of attempts that have ended some time ago, as if it had been stored then.
// Somebody may have: what is in the artifact store, or on its way there, stays as it is.
func (q *Queries) PutFound(ctx context.Context, left ...Left) error {
	const ended = `COALESCE((SELECT e.finished_at FROM execution e WHERE e.id = kept.execution_id AND e.attempt = kept.attempt),
		(SELECT a.finished_at FROM execution_attempt a WHERE a.execution_id = kept.execution_id AND a.attempt = kept.attempt), {now})`
	return q.putArtifacts(ctx, ended, "artifact.location = 'worker'", left)
}

// putArtifacts stores new rows with a time, and replaces those of which a condition holds.
func (q *Queries) putArtifacts(ctx context.Context, created, replaced string, left []Left) error {
	var rows [][]any
	for _, l := range left {
		for _, a := range l.Artifacts {
			order, err := l.order(a)
			if err != nil {
				return wrap(err, "order of the output of execution %d", l.ExecutionID)
			}
			location := string(cmp.Or(l.Location, LocationWorker))
			rows = append(rows, []any{l.ExecutionID, a.Attempt, a.Name, string(a.Type), a.Bytes, l.Worker, location, order})
		}
	}
	for some := range slices.Chunk(rows, artifactRows) {
		list, args := valuesList(nil, some, "BIGINT", "INTEGER", "TEXT", "TEXT", "BIGINT", "TEXT", "TEXT", "TEXT")
		_, err := q.exec(ctx, `
			WITH kept (execution_id, attempt, name, type, bytes, worker_name, location, output_order) AS (`+list+`)
			INSERT INTO artifact (execution_id, attempt, name, type, bytes, worker_name, location, output_order, created_at)
			SELECT execution_id, attempt, name, type, bytes, worker_name, location, output_order, `+created+`
			FROM kept WHERE execution_id IS NOT NULL
			ON CONFLICT (execution_id, attempt, name) DO UPDATE SET type = excluded.type, bytes = excluded.bytes,
				location = excluded.location, output_order = COALESCE(excluded.output_order, artifact.output_order) WHERE `+replaced, args...)
		if err != nil {
			return wrap(err, "store artifacts of execution %d and others", some[0][0])
		}
	}
	return nil
}

// StoredArtifact is an artifact, the worker that has its file, and where else it is.
type StoredArtifact struct {
	attune.Artifact
	ID          int64
	ExecutionID int64
	Worker      string
	Location    Location
}

const artifactColumns = `id, execution_id, attempt, name, type, bytes, worker_name, location, created_at`

func scanArtifact(row scanner) (a StoredArtifact, err error) {
	var created int64
	err = row.Scan(&a.ID, &a.ExecutionID, &a.Attempt, &a.Name, (*string)(&a.Type), &a.Bytes, &a.Worker, (*string)(&a.Location), &created)
	a.CreatedAt = fromMicros(created)
	return a, err
}

// Artifacts returns what an execution left, by attempt and name.
func (q *Queries) Artifacts(ctx context.Context, executionID int64) ([]StoredArtifact, error) {
	artifacts, err := collect(ctx, q, scanArtifact, `SELECT `+artifactColumns+` FROM artifact
		WHERE execution_id = $1 ORDER BY attempt, name`, executionID)
	return artifacts, wrap(err, "list the artifacts of execution %d", executionID)
}

// Artifact returns what an attempt left under a name; false if it has left nothing, or has not ended.
func (q *Queries) Artifact(ctx context.Context, executionID int64, attempt int, name string) (StoredArtifact, bool, error) {
	a, err := scanArtifact(q.row(ctx, `SELECT `+artifactColumns+` FROM artifact
		WHERE execution_id = $1 AND attempt = $2 AND name = $3`, executionID, attempt, name))
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	return a, err == nil, wrap(err, "look up an artifact of execution %d", executionID)
}

// OutputOrder returns how the logs of an attempt came after each other, nil if that is not known.
func (q *Queries) OutputOrder(ctx context.Context, executionID int64, attempt int) (order attune.OutputOrder, err error) {
	var text sql.NullString
	err = q.row(ctx, `SELECT output_order FROM artifact WHERE execution_id = $1 AND attempt = $2 AND name = $3`,
		executionID, attempt, attune.Stderr.LogFile()).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !text.Valid {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text.String), &order)
	}
	return order, wrap(err, "read the order of what execution %d wrote", executionID)
}

// PendingArtifacts returns at most limit artifacts that a worker has still to put into the artifact store, the oldest
// first.
func (q *Queries) PendingArtifacts(ctx context.Context, worker string, limit int) ([]StoredArtifact, error) {
	pending, err := collect(ctx, q, scanArtifact, `SELECT `+artifactColumns+` FROM artifact
		WHERE worker_name = $1 AND location = 'pending' ORDER BY id LIMIT $2`, worker, limit)
	return pending, wrap(err, "list the artifacts of worker %s that are to be stored", worker)
}

// MarkLocated notes where artifacts are that were to be stored, and returns the ids of those that still have a row: who
// has stored another one has stored it for nobody. It may be repeated.
func (q *Queries) MarkLocated(ctx context.Context, at Location, ids []int64) (map[int64]bool, error) {
	there := map[int64]bool{}
	for some := range slices.Chunk(ids, artifactRows) {
		list, args := inList([]any{string(at)}, some)
		scan := func(row scanner) (id int64, err error) { return id, row.Scan(&id) }
		marked, err := collect(ctx, q, scan, `UPDATE artifact SET location = $1 WHERE id IN `+list+` RETURNING id`, args...)
		if err != nil {
			return nil, wrap(err, "mark artifacts as %s", at)
		}
		for _, id := range marked {
			there[id] = true
		}
	}
	return there, nil
}

// ExpiredArtifacts returns at most limit artifacts of final executions that are older than age. Those in an artifact
// store are left out unless stored is set: who has no store can't remove them there.
func (q *Queries) ExpiredArtifacts(ctx context.Context, age time.Duration, stored bool, limit int) ([]StoredArtifact, error) {
	expired, err := collect(ctx, q, scanArtifact, `
		SELECT `+artifactColumns+` FROM artifact a WHERE a.created_at < {now} - $1 AND (a.location <> 'stored' OR $2)
			AND EXISTS (SELECT 1 FROM execution e WHERE e.id = a.execution_id
				AND e.status IN ('completed', 'failed', 'timeout', 'cancelled', 'abandoned'))
		ORDER BY a.created_at LIMIT $3`, age.Microseconds(), stored, limit)
	return expired, wrap(err, "list expired artifacts")
}

// DeleteArtifacts removes rows of artifacts. One that has come into the artifact store since it was read as being
// elsewhere stays.
func (q *Queries) DeleteArtifacts(ctx context.Context, artifacts []StoredArtifact) (deleted int64, err error) {
	for _, stored := range []bool{true, false} {
		var ids []int64
		for _, a := range artifacts {
			if (a.Location == LocationStored) == stored {
				ids = append(ids, a.ID)
			}
		}
		for some := range slices.Chunk(ids, artifactRows) {
			list, args := inList([]any{stored}, some)
			n, err := q.exec(ctx, `DELETE FROM artifact WHERE (location <> 'stored' OR $1) AND id IN `+list, args...)
			if err != nil {
				return deleted, wrap(err, "remove artifact rows")
			}
			deleted += n
		}
	}
	return deleted, nil
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

// OutputOf returns how much an attempt of an execution wrote, as far as that is known.
func (q *Queries) OutputOf(ctx context.Context, row ExecutionRow, attempt int) (map[attune.Stream]attune.Output, error) {
	stdout, stderr := row.Stdout, row.Stderr
	if attempt != row.Attempt {
		err := q.row(ctx, `SELECT stdout_bytes, stdout_dropped, stderr_bytes, stderr_dropped FROM execution_attempt
			WHERE execution_id = $1 AND attempt = $2`, row.ID, attempt).
			Scan(&stdout.Bytes, &stdout.DroppedBytes, &stderr.Bytes, &stderr.DroppedBytes)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, wrap(err, "look up attempt %d of execution %d", attempt, row.ID)
		}
		if err != nil {
			stdout, stderr = attune.Output{}, attune.Output{}
		}
	}
	return map[attune.Stream]attune.Output{attune.Stdout: stdout, attune.Stderr: stderr}, nil
}
