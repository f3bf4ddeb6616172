// Package store owns every SQL statement of the program and the schema that they work on.
//
// A statement is written once, with $1 placeholders, for SQLite and PostgreSQL; what the two spell differently is a
// word in braces that the dialect fills in. Package execution is the only caller that changes an execution's status;
// the scheduler, the worker and the API read, and write the rows that are theirs. The package decides nothing: which
// transition is made, and when, is for its callers to say.
//
// Times are kept as microseconds since 1970, and compared inside the statement with the database's own clock.
package store
