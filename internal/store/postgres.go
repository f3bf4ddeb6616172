package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
)

// postgresDialect fills the braces for PostgreSQL 14 and later. statement_timestamp is stable within a statement, so
// that an index serves comparisons with it; clock_timestamp would not let it.
var postgresDialect = dialect{
	name: "postgres",
	words: strings.NewReplacer(
		"{now}", "(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000)::bigint",
		"{bytes}", "BYTEA", "{for update}", "FOR UPDATE", "{skip locked}", "FOR UPDATE SKIP LOCKED",
		"{pack}", "split_part(action_ref, '.', 1)", "{ascii}", `COLLATE "C"`, "{sqlite}", "/*", "{/sqlite}", "*/",
		"{postgres}", "", "{/postgres}", ""),
	remote:         true,
	driverPrepares: true,
	waitBriefly:    "SET LOCAL lock_timeout = '500ms'",
	away:           postgresAway,
	dropped:        postgresDropped,
	locked:         postgresLocked,
	misconfigured:  postgresMisconfigured,
	again:          postgresAgain,
	tryLock: func(key int64) string {
		return fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d, hashtext(current_schema()))", key)
	},
}

// sessionSettings are what every session has, unless the URL says otherwise.
var sessionSettings = map[string]string{
	"application_name": "attune",

	// A server that is stopped in the middle of a transaction must not hold its locks for ever.
	"statement_timeout":                   "30s",
	"lock_timeout":                        "10s",
	"idle_in_transaction_session_timeout": "15s",

	// Every statement has an index that serves it. A table that was small when a statement was planned would be read
	// from end to end until it is planned again, however large it has become meanwhile.
	"enable_seqscan":    "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
	"enable_material":   "off",
	"enable_bitmapscan": "off", // it loses the order of the index, and reads all that it finds

	// The price of what is switched off makes a plan look dear that cannot do without it, and the server would compile
	// it anew each time, which takes longer than any of these statements.
	"jit": "off",
}

// postgresAway tells of errors that say nothing of the statement: the server or the way to it is gone, is starting or
// ending, or is out of something (classes of PostgreSQL's appendix A).
func postgresAway(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
			return e.Code != "08P01" // protocol_violation is about what was sent
		case "28", "3D", "42": // somebody changes the password, the database, or what is granted and defined in it
			return true
		}
		// idle_in_transaction_session_timeout, read_only_sql_transaction (a standby)
		return e.Code == lockNotAvailable || e.Code == "25P03" || e.Code == "25006"
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed)
}

// lockNotAvailable is PostgreSQL's code after lock_timeout.
const lockNotAvailable = "55P03"

func postgresLocked(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == lockNotAvailable
}

// postgresDropped tells of a connection that was there and is not any more: database/sql does not see it in what pgx
// says of a BEGIN, nor, because it can't know whether it was one that writes, of a statement that was sent.
func postgresDropped(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code == "57P01" || e.Code == "57P02" // the server ends, in good order or not
	}
	var connect *pgconn.ConnectError
	return postgresAway(err) && !errors.As(err, &connect) && !pgconn.Timeout(err) && !errors.Is(err, context.DeadlineExceeded)
}

// postgresMisconfigured tells of a server that has answered and lets nobody in this way, however often one asks.
func postgresMisconfigured(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return slices.Contains([]string{"28", "3D", "42"}, e.Code[:2])
	}
	// pgconn has no value for it (pgconn.go, connectOne).
	return err != nil && strings.Contains(err.Error(), "server refused TLS connection")
}

// postgresAgain tells of a serialization failure or a deadlock that PostgreSQL has broken.
func postgresAgain(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

// postgresServer is a database on a PostgreSQL server.
type postgresServer struct{ config *pgx.ConnConfig }

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

func newPostgresServer(cfg Config) (postgresServer, error) {
	config, err := parsePostgres(cfg.URL)
	if err != nil {
		return postgresServer{}, attune.Errorf(attune.CodeInvalid, "database.url: %v", err)
	}
	for name, value := range sessionSettings {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{Control: boundSilence}).DialContext
	return postgresServer{config}, nil
}

// connectTimeout is how long a connection may take to be there, unless the URL says otherwise.
const connectTimeout = 10 * time.Second

// ackTimeout is for how long what was sent may stay without the network's acknowledgement, so that a connection whose
// other end has vanished ends instead of lasting for the quarter of an hour that Linux repeats by itself (tcp(7)).
const ackTimeout = 30 * time.Second

func boundSilence(network, _ string, socket syscall.RawConn) (err error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	const option = unix.TCP_USER_TIMEOUT
	control := socket.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, int(ackTimeout.Milliseconds()))
	})
	return errors.Join(control, err)
}

// parsePostgres reads a URL. No error of it, nor a later one that names the host or the database, holds any part of a
// password: what may be the end of one, but is something else to pgx, is refused.
func parsePostgres(url string) (*pgx.ConnConfig, error) {
	if !unambiguous(url) {
		return nil, errors.New("it is not clear where a password ends: " + writePostgres)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// The URL comes first in pgx's text, without the passwords that pgx knows to be some.
		_, fault, _ := strings.Cut(err.Error(), "`: ")
		return nil, fmt.Errorf("not the URL of a PostgreSQL: %s: %s", fault, writePostgres)
	}
	return config, nil
}

// unambiguous tells whether a URL can't be read in two ways: as pgx does, like libpq, and with a longer password.
func unambiguous(url string) bool {
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		rest = rest[i+1:] // user and password end there
	}
	_, query, _ := strings.Cut(rest, "?")
	for setting := range strings.SplitSeq(query, "&") {
		if setting != "" && !strings.Contains(setting, "=") {
			return false
		}
	}
	return !strings.Contains(rest, "@")
}

const writePostgres = "write postgres://user:password@host:5432/database, with %XX for special characters in its parts " +
	"(%40 for @, %2F for /)"

func (p postgresServer) name() string {
	return fmt.Sprintf("%s on %s:%d", p.config.Database, p.config.Host, p.config.Port)
}

func (p postgresServer) dialect() *dialect { return &postgresDialect }

// Validate checks a postgres:// URL without connecting to anybody. The error holds no part of a password.
func Validate(url string) error {
	_, err := newPostgresServer(Config{URL: url})
	var known *attune.Error
	if errors.As(err, &known) {
		return errors.New(strings.TrimPrefix(known.Message, "database.url: "))
	}
	return err
}

// pools shares the connections out between readers and writers.
func (p postgresServer) pools(connections int) (read, write *sql.DB, err error) {
	write, read = p.open(nil), p.open(map[string]string{"default_transaction_read_only": "on"})
	writers := (connections + 1) / 2
	bound(write, writers)
	bound(read, connections-writers)
	return read, write, nil
}

// open returns a pool whose sessions have these settings, too. It connects to nobody yet.
func (p postgresServer) open(settings map[string]string) *sql.DB {
	config := p.config.Copy()
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	return stdlib.OpenDB(*config, stdlib.OptionShouldPing(func(_ context.Context, p stdlib.ShouldPingParams) bool {
		return p.IdleDuration > pingAfter
	}))
}

// pingAfter is for how long an idle connection is taken for a good one. Asking each time would double the statements
// of a server that has nothing to do; one that has gone meanwhile costs an error, which is repeated as any other.
const pingAfter = 5 * time.Second

// version returns 0 for a database that has no schema yet.
func (p postgresServer) version(ctx context.Context) (int64, error) {
	db := p.open(nil)
	defer func() { _ = db.Close() }() // nothing was written
	var there bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, err
	}
	return appliedVersion(ctx, db)
}

// migrationLock is the first key of the advisory lock under which a schema is changed; placementLock that under which
// executions are placed. The second key is the schema.
const (
	migrationLock = 0x617474 // "att"
	placementLock = 0x617475
)

// migrate applies what is missing. Servers that start at once wait for the one that has the lock.
func (p postgresServer) migrate(ctx context.Context, log *slog.Logger) (err error) {
	// A migration may take as long as it takes, and so may the wait for one.
	db := p.open(map[string]string{"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"})
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }() // which gives the lock back, whatever happened
	const lock = `SELECT pg_advisory_lock($1, hashtext(current_schema()))`
	if _, err := conn.ExecContext(ctx, lock, migrationLock); err != nil {
		return fmt.Errorf("wait for the lock on the schema: %w", err)
	}
	return applyMigrations(ctx, db, goose.DialectPostgres, "migrations/postgres", log)
}
