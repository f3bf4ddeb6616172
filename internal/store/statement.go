package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// statements are those of one pool of connections. Where the driver does not do it by itself, each is prepared once:
// parsing a statement costs SQLite as much as running it. They are few, because every text is written in this package.
type statements struct {
	pool     *sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
	failures failures
}

func newStatements(pool *sql.DB) *statements {
	return &statements{pool: pool, prepared: map[string]*sql.Stmt{}}
}

func (s *statements) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if statement := s.prepared[text]; statement != nil {
		return statement, nil
	}
	statement, err := s.pool.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare a statement: %w", err)
	}
	s.prepared[text] = statement
	return statement, nil
}

// onLiving does what is harmless to repeat, and again as long as that finds out a kept connection that has died.
func (s *statements) onLiving(ctx context.Context, d *dialect, do func() error) error {
	for kept := s.pool.Stats().OpenConnections; ; kept-- {
		err := do()
		if err == nil || kept <= 0 || ctx.Err() != nil || !d.dropped(err) {
			return err
		}
	}
}

// runner runs one statement with its arguments.
type runner interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, args ...any) *sql.Row
}

// statement returns a runner for where q runs: a transaction, or any connection of the pool.
func (q *Queries) statement(ctx context.Context, query string) (runner, error) {
	text := q.dialect.spell(query)
	if q.dialect.driverPrepares {
		// Preparing on the pool would need another connection, and all of them may be waiting for that, each in its
		// transaction.
		if q.tx != nil {
			return textRunner{q.tx, text}, nil
		}
		return textRunner{q.statements.pool, text}, nil
	}
	prepared, err := q.statements.prepare(ctx, text)
	if err != nil {
		return nil, q.statements.told(q.dialect, err)
	}
	if q.tx != nil {
		return q.tx.StmtContext(ctx, prepared), nil
	}
	return prepared, nil
}

// textRunner hands the text of a statement to a driver that remembers what it has prepared.
type textRunner struct {
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	text string
}

// ExecContext runs the statement.
func (r textRunner) ExecContext(ctx context.Context, args ...any) (sql.Result, error) {
	return r.on.ExecContext(ctx, r.text, args...)
}

// QueryContext runs the statement.
func (r textRunner) QueryContext(ctx context.Context, args ...any) (*sql.Rows, error) {
	return r.on.QueryContext(ctx, r.text, args...)
}

// QueryRowContext runs the statement.
func (r textRunner) QueryRowContext(ctx context.Context, args ...any) *sql.Row {
	return r.on.QueryRowContext(ctx, r.text, args...)
}

func (q *Queries) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	statement, err := q.statement(ctx, query)
	if err != nil {
		return 0, err
	}
	done, err := statement.ExecContext(ctx, args...)
	if err != nil {
		return 0, q.statements.told(q.dialect, err)
	}
	return done.RowsAffected()
}

// scanner is a row of an answer.
type scanner interface{ Scan(dest ...any) error }

// answer is the one row of an answer, or why there is none.
type answer struct {
	row  scanner
	err  error
	of   *Queries
	read func() // called when the row was read
}

// Scan reads the row.
func (a answer) Scan(dest ...any) error {
	defer a.read()
	if a.err != nil {
		return a.err
	}
	return a.of.statements.told(a.of.dialect, a.row.Scan(dest...))
}

func (q *Queries) row(ctx context.Context, query string, args ...any) scanner {
	ctx, cancel := q.bounded(ctx)
	statement, err := q.statement(ctx, query)
	if err != nil {
		return answer{err: err, read: cancel}
	}
	var row *sql.Row
	_ = q.repeatably(ctx, func() error { // the row keeps its error until it is read
		row = statement.QueryRowContext(ctx, args...)
		return row.Err()
	})
	return answer{row: row, of: q, read: cancel}
}

// repeatably does a read, if need be on another connection; a write it does once.
func (q *Queries) repeatably(ctx context.Context, do func() error) error {
	if !q.reads {
		return do()
	}
	return q.statements.onLiving(ctx, q.dialect, do)
}

// collect runs a query and scans every row of its answer.
func collect[T any](ctx context.Context, q *Queries, scan func(scanner) (T, error), query string, args ...any) (all []T, err error) {
	err = each(ctx, q, func(row scanner) error {
		one, err := scan(row)
		all = append(all, one)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// each runs a statement and calls do with every row of its answer.
func each(ctx context.Context, q *Queries, do func(scanner) error, query string, args ...any) error {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	statement, err := q.statement(ctx, query)
	if err != nil {
		return err
	}
	var rows *sql.Rows
	err = q.repeatably(ctx, func() error {
		rows, err = statement.QueryContext(ctx, args...) //nolint:rowserrcheck // it is, below
		return err
	})
	if err != nil {
		return q.statements.told(q.dialect, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what matters
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return q.statements.told(q.dialect, rows.Err())
}
