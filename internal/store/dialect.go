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
	away  func(error) bool // the database could not be had in time, or its disk is full or failing; later it may succeed
}

// sqliteDialect fills the braces for SQLite 3.42 and later (unixepoch's subsec).
var sqliteDialect = dialect{
	name:  "sqlite3",
	words: strings.NewReplacer("{now}", "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"),
	away: func(err error) bool {
		switch sqliteCode(err) & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
			return true
		}
		return false
	},
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
