package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"

	"github.com/attune-automation/attune"
)

//go:embed migrations
var migrations embed.FS

// SchemaVersion is the number of the newest migration that this program has. A test compares it with the files.
const SchemaVersion = 8

// database is where a Store's rows are.
type database interface {
	name() string // for messages: it holds no password
	dialect() *dialect
	pools(connections int) (read, write *sql.DB, err error)
	version(ctx context.Context) (int64, error) // of the schema that is there; 0 if there is none
	migrate(ctx context.Context, log *slog.Logger) error
}

func newDatabase(cfg Config) (database, error) {
	if isPostgres(cfg.URL) {
		return newPostgresServer(cfg)
	}
	return newSQLiteFile(cfg)
}

// Schema returns the version of the schema that a database has; 0 if it has none yet.
func Schema(ctx context.Context, cfg Config) (int64, error) {
	db, err := newDatabase(cfg)
	if err != nil {
		return 0, err
	}
	version, err := currentVersion(ctx, db)
	if err != nil {
		return 0, classifyOpening(db.dialect(), fmt.Errorf("read the schema of %s: %w", db.name(), err))
	}
	return version, nil
}

// Migrate brings a database's schema to SchemaVersion, as Open does.
func Migrate(ctx context.Context, cfg Config) error {
	db, err := newDatabase(cfg)
	if err != nil {
		return err
	}
	if err := upToDate(ctx, db, cfg.Logger); err != nil {
		return classifyOpening(db.dialect(), fmt.Errorf("migrate %s: %w", db.name(), err))
	}
	return nil
}

// upToDate brings a database's schema to SchemaVersion. The usual case, nothing to do, costs one SELECT.
func upToDate(ctx context.Context, db database, log *slog.Logger) error {
	current, err := currentVersion(ctx, db)
	if err != nil {
		return err
	}
	switch {
	case current == SchemaVersion:
		return nil
	case current > SchemaVersion:
		return attune.Errorf(attune.CodeConflict, "the database's schema is version %d and this attune knows %d: "+
			"use the attune that wrote it, or a newer one", current, SchemaVersion)
	}
	return db.migrate(ctx, log)
}

func currentVersion(ctx context.Context, db database) (int64, error) {
	ctx, cancel := until(ctx, db.dialect().deadline(Patience))
	defer cancel()
	return db.version(ctx)
}

func appliedVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var version sql.NullInt64
	err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version)
	return version.Int64, err
}

func applyMigrations(ctx context.Context, db *sql.DB, dialect goose.Dialect, dir string, log *slog.Logger) error {
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	applied, err := provider.Up(ctx)
	for _, m := range applied {
		log.Debug("migration applied", "version", m.Source.Version, "duration", m.Duration)
	}
	return err
}
