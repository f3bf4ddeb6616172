package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// statements are those of one pool of connections, prepared once: parsing a statement costs SQLite as much as running
// it. They are few, because every text is written in this package.
type statements struct {
	pool     *sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
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

// prepare returns a statement for where q runs: a transaction, or any connection of the pool.
func (q *Queries) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	statement, err := q.statements.prepare(ctx, q.dialect.words.Replace(query))
	if err != nil || q.tx == nil {
		return statement, err
	}
	return q.tx.StmtContext(ctx, statement), nil
}

func (q *Queries) exec(ctx context.Context, query string, args ...any) (int64, error) {
	statement, err := q.prepare(ctx, query)
	if err != nil {
		return 0, classify(q.dialect, err)
	}
	done, err := statement.ExecContext(ctx, args...)
	if err != nil {
		return 0, classify(q.dialect, err)
	}
	return done.RowsAffected()
}

// scanner is a row of an answer.
type scanner interface{ Scan(dest ...any) error }

// answer is the one row of an answer, or why there is none.
type answer struct {
	row     scanner
	err     error
	dialect *dialect
}

// Scan reads the row.
func (a answer) Scan(dest ...any) error {
	if a.err != nil {
		return classify(a.dialect, a.err)
	}
	return classify(a.dialect, a.row.Scan(dest...))
}

func (q *Queries) row(ctx context.Context, query string, args ...any) scanner {
	statement, err := q.prepare(ctx, query)
	if err != nil {
		return answer{err: err, dialect: q.dialect}
	}
	return answer{row: statement.QueryRowContext(ctx, args...), dialect: q.dialect}
}

// collect runs a query and scans every row of its answer.
func collect[T any](ctx context.Context, q *Queries, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	statement, err := q.prepare(ctx, query)
	if err != nil {
		return nil, classify(q.dialect, err)
	}
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return nil, classify(q.dialect, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what matters
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, classify(q.dialect, rows.Err())
}
