package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// busyTimeout is how long a statement waits for another process that writes to the same SQLite file.
const busyTimeout = 20 * time.Second

// Config says where the database is.
type Config struct {
	URL            string // sqlite:PATH
	Dir            string // what a relative PATH is relative to
	MaxConnections int    // readers; SQLite has one writer
	Logger         *slog.Logger
}

// Store is the open database. It is safe for concurrent use.
type Store struct {
	read    *statements
	write   *statements
	writer  chan struct{} // holds a value while this process writes
	dialect *dialect
}

// Open opens the database and brings its schema up to date. Several processes may open the same file at once.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	path, err := sqlitePath(cfg)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, path, cfg.Logger); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write, err := openSQLite(path, "&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	read, err := openSQLite(path, "&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	write.SetMaxOpenConns(writeConnections)
	write.SetMaxIdleConns(writeConnections)
	read.SetMaxOpenConns(max(1, cfg.MaxConnections))
	read.SetMaxIdleConns(max(1, cfg.MaxConnections))
	return &Store{
		read: newStatements(read), write: newStatements(write), writer: make(chan struct{}, 1), dialect: &sqliteDialect,
	}, nil
}

// writeConnections is one for the transaction, and one to prepare statements on while it runs.
const writeConnections = 2

func sqlitePath(cfg Config) (string, error) {
	path, ok := strings.CutPrefix(cfg.URL, "sqlite:")
	if !ok || path == "" {
		return "", attune.Errorf(attune.CodeInvalid,
			"database.url: %q is not supported in this version: write sqlite:PATH", redact(cfg.URL))
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(cfg.Dir, path)
	}
	return path, nil
}

// redact keeps a password out of messages.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Redacted()
}

func openSQLite(path, options string) (*sql.DB, error) {
	// synchronous(FULL): what was answered with an id survives a power cut, too.
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String() +
		fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)", busyTimeout.Milliseconds()) +
		options
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// Close closes all connections; it waits for statements that run.
func (s *Store) Close() error {
	return errors.Join(s.write.pool.Close(), s.read.pool.Close())
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.Read().row(ctx, "SELECT 1").Scan(&one)
}

// Read returns the statements, outside of any transaction; those that write are refused by the database.
func (s *Store) Read() *Queries {
	return &Queries{statements: s.read, dialect: s.dialect}
}

// Write runs do in one transaction, which is committed if do returns nil. Writers are one after the other, in all
// processes, from the first statement on: what do reads can't change before it commits.
func (s *Store) Write(ctx context.Context, do func(*Queries) error) error {
	// Inside a process, waiting in line is cheaper and fairer than SQLite's busy loop.
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait to write: %w", context.Cause(ctx))
	}
	defer func() { <-s.writer }()
	tx, err := s.write.pool.BeginTx(ctx, nil)
	if err != nil {
		return s.classify(fmt.Errorf("begin transaction: %w", err))
	}
	defer func() { _ = tx.Rollback() }() // after a commit there is nothing left to roll back
	if err := do(&Queries{statements: s.write, tx: tx, dialect: s.dialect}); err != nil {
		return s.classify(err)
	}
	if err := tx.Commit(); err != nil {
		return s.classify(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// ErrUnavailable is wrapped by errors that say nothing of the input: the database was busy for too long, or its disk is full or failing.
var ErrUnavailable = errors.New("the database is not available")

func (s *Store) classify(err error) error {
	if s.dialect.away(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Queries are the statements, bound to a transaction or to the pool of readers.
type Queries struct {
	statements *statements
	tx         *sql.Tx // nil outside of a transaction
	dialect    *dialect
}

// Now returns the database's time.
func (q *Queries) Now(ctx context.Context) (time.Time, error) {
	var us int64
	err := q.row(ctx, `SELECT {now}`).Scan(&us)
	return fromMicros(us), err
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func fromNullMicros(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	t := fromMicros(us.Int64)
	return &t
}
