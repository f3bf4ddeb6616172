package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
)

//go:embed migrations
var migrations embed.FS

// schemaVersion is the number of the newest migration. A test compares it with the files.
const schemaVersion = 1

// migrate brings the file's schema to schemaVersion. The usual case, nothing to do, costs one SELECT. Processes that
// start at once take turns by a lock beside the file, because SQLite's own lock can't cover the switch to WAL.
func migrate(ctx context.Context, path string, log *slog.Logger) error {
	current, err := existingVersion(ctx, path)
	if err != nil {
		return err
	}
	switch {
	case current == schemaVersion:
		return nil
	case current > schemaVersion:
		return attune.Errorf(attune.CodeConflict, "the database's schema is version %d and this attune knows %d: "+
			"use the attune that wrote it, or a newer one", current, schemaVersion)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	unlock, err := lockFile(path + ".migrate.lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := createPrivate(path); err != nil {
		return err
	}
	return applyMigrations(ctx, path, log)
}

// createPrivate makes the file, if it is not there, for its owner alone. SQLite gives its other files the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// existingVersion returns 0 for a file that does not exist or has no schema yet.
func existingVersion(ctx context.Context, path string) (int64, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	db, err := openSQLite(path, "&mode=ro")
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // read only
	var tables int
	const find = `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`
	if err := db.QueryRowContext(ctx, find).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	var version sql.NullInt64
	err = db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1`).Scan(&version)
	return version.Int64, err
}

func applyMigrations(ctx context.Context, path string, log *slog.Logger) (err error) {
	db, err := openSQLite(path, "&_pragma=journal_mode(WAL)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	applied, err := provider.Up(ctx)
	for _, m := range applied {
		log.Debug("migration applied", "version", m.Source.Version, "duration", m.Duration)
	}
	return err
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
