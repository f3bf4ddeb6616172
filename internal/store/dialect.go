package store

import (
	"errors"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is all that SQLite and PostgreSQL spell differently in the shared statements.
type dialect struct {
	name  string
	words *strings.Replacer
	busy  func(error) bool // the database could not be had in time; the same statement may succeed later
	dup   func(error) bool // a unique constraint refused the row
}

// sqliteDialect fills the braces for SQLite 3.42 and later (unixepoch's subsec).
var sqliteDialect = dialect{
	name:  "sqlite3",
	words: strings.NewReplacer("{now}", "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"),
	busy: func(err error) bool {
		code := sqliteCode(err) & 0xff
		return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
	},
	dup: func(err error) bool {
		code := sqliteCode(err)
		return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	},
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
