package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says where the database is.
type Config struct {
	URL            string        // sqlite:PATH or postgres://…
	Dir            string        // what a relative PATH is relative to
	MaxConnections int           // of this process, in all; SQLite's writer comes on top
	Patience       time.Duration // with a server, for one statement or transaction; 0: Patience
	Logger         *slog.Logger
}

// Patience is how long a server has for one statement outside of a transaction, or for one transaction, the wait for a
// connection included. It is longer than the limits that the server itself keeps to: it is for one that does not answer
// at all, because it is frozen or the way to it swallows everything.
const Patience = 40 * time.Second

// LoopPatience is how long a loop lets a database that does not answer hold it up: it turns in an outage, too, which
// tells it from one that hangs.
const LoopPatience = 15 * time.Second

// Store is the open database. It is safe for concurrent use.
type Store struct {
	read     *statements
	write    *statements
	writer   chan struct{} // holds a value while this process writes; nil if the database lets several write at once
	dialect  *dialect
	patience time.Duration
}

// Open opens the database and brings its schema up to date. Several processes may open the same one at once.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	db, err := newDatabase(cfg)
	if err != nil {
		return nil, err
	}
	if err := upToDate(ctx, db, cfg.Logger); err != nil {
		return nil, classifyOpening(db.dialect(), fmt.Errorf("open database %s: %w", db.name(), err))
	}
	read, write, err := db.pools(max(minConnections, cfg.MaxConnections))
	if err != nil {
		return nil, err
	}
	s := &Store{read: newStatements(read), write: newStatements(write), dialect: db.dialect(), patience: cmp.Or(cfg.Patience, Patience)}
	if s.dialect.oneWriter {
		s.writer = make(chan struct{}, 1)
	}
	return s, nil
}

// minConnections is what a process needs: one that reads, and one that writes.
const minConnections = 2

// bound lets a pool have so many connections, and keep them.
func bound(pool *sql.DB, connections int) {
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
}

// Close closes all connections; it waits for statements that run.
func (s *Store) Close() error {
	return errors.Join(s.write.pool.Close(), s.read.pool.Close())
}

// Read returns the statements, outside of any transaction; those that write are refused by the database.
func (s *Store) Read() *Queries {
	return &Queries{statements: s.read, dialect: s.dialect, patience: s.patience, reads: true}
}

// Single runs do for a write that is one statement, without a transaction around it.
func (s *Store) Single(ctx context.Context, do func(*Queries) error) error {
	done, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	return do(&Queries{statements: s.write, dialect: s.dialect, patience: s.patience})
}

// maxTries is how often a transaction is done in all that loses against others.
const maxTries = 5

// Write runs do in one transaction, which is committed if do returns nil. do may be run again when the database has
// broken it off in favour of another one. On SQLite, writers are one after the other, in all processes, from the first
// statement on; on PostgreSQL, what do reads may change before it commits unless it locks it.
func (s *Store) Write(ctx context.Context, do func(*Queries) error) error {
	done, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	for try := 1; ; try++ {
		err := s.transaction(ctx, do)
		if err == nil || try == maxTries || !s.dialect.again(err) {
			return err
		}
	}
}

// turn waits for this process's turn to write, where there is one writer: inside a process, waiting in line is cheaper
// and fairer than SQLite's busy loop, and the writer needs the second connection to prepare its statements on.
func (s *Store) turn(ctx context.Context) (done func(), err error) {
	if s.writer == nil {
		return func() {}, nil
	}
	select {
	case s.writer <- struct{}{}:
		return func() { <-s.writer }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to write: %w", context.Cause(ctx))
	}
}

func (s *Store) transaction(ctx context.Context, do func(*Queries) error) error {
	deadline := s.dialect.deadline(s.patience)
	ctx, cancel := until(ctx, deadline)
	defer cancel()
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit there is nothing left to roll back
	if err := do(&Queries{statements: s.write, tx: tx, dialect: s.dialect, deadline: deadline}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return s.write.told(s.dialect, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// begin begins a transaction. A connection that has died meanwhile is found out by that, and nothing is lost with it:
// each of them is tried, so that a server's restart costs nobody an error who comes after it.
func (s *Store) begin(ctx context.Context) (tx *sql.Tx, err error) {
	err = s.write.onLiving(ctx, s.dialect, func() error {
		tx, err = s.write.pool.BeginTx(ctx, nil)
		return err
	})
	if err != nil {
		return nil, s.write.told(s.dialect, fmt.Errorf("begin transaction: %w", err))
	}
	return tx, nil
}

// ErrUnavailable is wrapped by errors that say nothing of the input: the database was busy for too long, can't be
// reached, or its disk is full or failing. Whether what was being written is stored is then unknown.
var ErrUnavailable = errors.New("the database is not available")

// ErrLocked is wrapped, beside ErrUnavailable, by errors of a row that somebody else holds for too long.
var ErrLocked = errors.New("somebody else holds a lock for too long")

// classify is for a store that is open: whatever keeps it from connecting may pass, as the credentials were good once.
func classify(d *dialect, err error) error {
	switch {
	case err == nil || !d.away(err):
		return err
	case d.locked(err):
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrLocked, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// classifyOpening is for one that is being opened: what is wrong with its configuration does not pass by itself.
func classifyOpening(d *dialect, err error) error {
	if d.misconfigured(err) {
		return err
	}
	return classify(d, err)
}

// Queries are the statements, bound to a transaction or to the pool of readers.
type Queries struct {
	statements *statements
	tx         *sql.Tx // nil outside of a transaction
	dialect    *dialect
	reads      bool          // nothing but reads, so that any may be repeated
	patience   time.Duration // for each statement, outside of a transaction
	deadline   time.Time     // of the transaction; zero for none
}

// bounded is ctx with the time that one statement has.
func (q *Queries) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if q.tx != nil && q.dialect.oneWriter {
		// It has nothing to wait for, and watching ctx would cost more than the statement; the transaction watches it.
		return context.WithoutCancel(ctx), func() {}
	}
	if q.tx != nil {
		return until(ctx, q.deadline)
	}
	return until(ctx, q.dialect.deadline(q.patience))
}

func until(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline)
}

// WaitBriefly has the rest of a transaction wait for each lock but briefly: if somebody else holds one for longer, it
// fails with ErrLocked.
func (q *Queries) WaitBriefly(ctx context.Context) error {
	if q.dialect.waitBriefly == "" {
		return nil
	}
	_, err := q.exec(ctx, q.dialect.waitBriefly)
	return wrap(err, "set the time for locks")
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
