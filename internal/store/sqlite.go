package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/attune-automation/attune"
)

// sqliteDialect fills the braces for SQLite 3.42 and later (unixepoch's subsec). Its transactions are IMMEDIATE: who
// has one has the only one, so no row need be locked.
var sqliteDialect = dialect{
	name: "sqlite",
	words: strings.NewReplacer(
		"{now}", "CAST(unixepoch('subsec') * 1000000 AS INTEGER)", "{bytes}", "BLOB", "{for update}", "", "{skip locked}", "",
		"{pack}", "pack_ref", "{ascii}", "", "{sqlite}", "", "{/sqlite}", "",
		"{postgres}", "/*", "{/postgres}", "*/"),
	oneWriter: true,
	away: func(err error) bool {
		switch sqliteCode(err) & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
			return true
		}
		return false
	},
	dropped:       func(error) bool { return false },
	locked:        func(error) bool { return false },
	misconfigured: func(error) bool { return false },
	again:         func(error) bool { return false },
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// busyTimeout is how long a statement waits for another process that writes to the same file.
const busyTimeout = 20 * time.Second

// sqliteWriters is one connection for the transaction, and one to prepare statements on while it runs.
const sqliteWriters = 2

// sqliteFile is a database that is a file of this host.
type sqliteFile struct{ path string }

func newSQLiteFile(cfg Config) (sqliteFile, error) {
	path, ok := strings.CutPrefix(cfg.URL, "sqlite:")
	if !ok || path == "" {
		return sqliteFile{}, attune.Errorf(attune.CodeInvalid,
			"database.url: it is neither sqlite:PATH nor postgres://…: write one of them") // and not what it is: it may hold a password
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(cfg.Dir, path)
	}
	return sqliteFile{path}, nil
}

func (f sqliteFile) name() string      { return f.path }
func (f sqliteFile) dialect() *dialect { return &sqliteDialect }

func (f sqliteFile) pools(connections int) (read, write *sql.DB, err error) {
	if write, err = f.open("&_txlock=immediate"); err != nil {
		return nil, nil, err
	}
	if read, err = f.open("&_pragma=query_only(1)"); err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	bound(write, sqliteWriters)
	bound(read, connections)
	return read, write, nil
}

func (f sqliteFile) open(options string) (*sql.DB, error) {
	// synchronous(FULL): what was answered with an id survives a power cut, too.
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: f.path}).EscapedPath()}).String() +
		fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)", busyTimeout.Milliseconds()) +
		options
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", f.path, err)
	}
	return db, nil
}

// version returns 0 for a file that does not exist or has no schema yet.
func (f sqliteFile) version(ctx context.Context) (int64, error) {
	if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	db, err := f.open("&mode=ro")
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // read only
	var tables int
	const find = `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`
	if err := db.QueryRowContext(ctx, find).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	return appliedVersion(ctx, db)
}

// migrate makes the file if need be and applies what is missing. Processes that start at once take turns by a lock
// beside the file, because SQLite's own lock can't cover the switch to WAL.
func (f sqliteFile) migrate(ctx context.Context, log *slog.Logger) (err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o711); err != nil {
		return err
	}
	unlock, err := lockFile(f.path + ".migrate.lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := createPrivate(f.path); err != nil {
		return err
	}
	db, err := f.open("&_pragma=journal_mode(WAL)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	return applyMigrations(ctx, db, goose.DialectSQLite3, "migrations/sqlite", log)
}

// createPrivate makes the file, if it is not there, for its owner alone. SQLite gives its other files the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// lockFile waits for the lock and returns what gives it back; a process that dies gives it back, too.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing is what unlocks
}
