package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Postgres is a private PostgreSQL server.
type Postgres struct {
	URL string // postgres://attune@127.0.0.1:PORT/attune

	bin    string
	dir    string
	port   int
	as     *syscall.SysProcAttr
	server *child
	remove func() error
}

// StartPostgres makes a database cluster in a new temporary directory and serves it. It is for tests: durable lets it
// wait for the disk at each commit as a real one does, else it is fast, and only a crash of the machine loses anything.
func StartPostgres(durable bool) (p *Postgres, err error) {
	initdb, err := find("initdb", "/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "attune-postgres-*")
	if err != nil {
		return nil, err
	}
	p = &Postgres{bin: filepath.Dir(initdb), dir: dir, remove: removal(dir)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	if p.as, err = unprivileged("postgres", dir); err != nil {
		return p, err
	}
	if p.port, err = FreePort(); err != nil {
		return p, err
	}
	p.URL = "postgres://attune@" + address(p.port) + "/postgres"
	create := exec.CommandContext(context.Background(), initdb,
		"-D", p.data(), "-U", "attune", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	create.Dir, create.SysProcAttr = dir, p.as
	if out, err := create.CombinedOutput(); err != nil {
		return p, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if !durable {
		settings := "fsync = off\nfull_page_writes = off\n"
		if err := appendFile(filepath.Join(p.data(), "postgresql.conf"), settings); err != nil {
			return p, err
		}
	}
	return p, p.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start serves the cluster again after Halt or Kill, at the same address.
func (p *Postgres) Start() error {
	attributes := *p.as
	serve := exec.CommandContext(context.Background(), filepath.Join(p.bin, "postgres"), "-D", p.data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(p.port), "-c", "unix_socket_directories=",
		"-c", "max_connections=400", "-c", "shared_buffers=128MB")
	serve.Dir, serve.SysProcAttr = p.dir, &attributes
	var err error
	if p.server, err = spawn(serve, filepath.Join(p.dir, "log")); err != nil {
		return err
	}
	return p.server.await("PostgreSQL", func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.URL)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Halt ends the server in good order, sessions and all; the data stays.
func (p *Postgres) Halt() { p.server.end(syscall.SIGINT) } // "fast shutdown"

// Kill ends the server as a crash does, so that it recovers when it is started again.
func (p *Postgres) Kill() { p.server.end(syscall.SIGQUIT) } // "immediate shutdown"

// Stop ends the server and removes its files.
func (p *Postgres) Stop() error {
	p.Halt()
	return p.remove()
}

// unprivileged lets a process run as the user that the server's package made, or as nobody, and gives it dir:
// PostgreSQL refuses to run as root.
func unprivileged(name, dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup(name)
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("find a user for %s: %w", name, err)
		}
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, fmt.Errorf("ids of user %s: %w", account.Username, err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func appendFile(name, text string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
