package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	credential = "attune-keys"           // in the directory that systemd gives a service
	variable   = "ATTUNE_ENCRYPTION_KEY" // holds a keyring's text
	maxKeyFile = 1 << 20
)

// source is where a keyring comes from.
type source struct {
	name      string      // for people
	path      string      // "" if it isn't a file
	forbidden fs.FileMode // the permissions that its file must not have
	made      bool        // by us, on first use
	sealed    func() (bool, error)
	text      func() []byte // the keyring's, if it isn't in a file
	advice    string        // how it is changed, if not by us
}

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
	dev     uint64
	inode   uint64
}

func findSource(c SafeConfig) source {
	if c.File != "" {
		return source{name: "file " + c.File, path: c.File, forbidden: 0o077}
	}
	if s, ok := systemdSource(c); ok {
		return s
	}
	if text := getenv(c, variable); text != "" {
		return source{name: "environment " + variable, text: func() []byte { return []byte(text) },
			advice: "change " + variable + " where it is set, the current key's line first, and restart"}
	}
	if c.Create != "" {
		return source{name: "file " + c.Create + ", made on first use", path: c.Create, forbidden: 0o077, made: true, sealed: c.Sealed}
	}
	return source{}
}

// systemdSource returns the credential if there is one. One that can't be looked at is there: it will be an error.
func systemdSource(c SafeConfig) (source, bool) {
	dir := getenv(c, "CREDENTIALS_DIRECTORY")
	if dir == "" {
		return source{}, false
	}
	path := filepath.Join(dir, credential)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return source{}, false
	}
	return source{name: "systemd credential " + credential, path: path, forbidden: 0o037, // it may be 0440, for an ACL
		advice: "change what the credential is made from, the current key's line first, and restart"}, true
}

func getenv(c SafeConfig, name string) string {
	if c.Getenv == nil {
		return ""
	}
	return c.Getenv(name)
}

// unchanged tells whether the source is as it was when it was read.
func (s source) unchanged(since stamp) bool {
	if s.path == "" {
		return true
	}
	info, err := os.Stat(s.path)
	return err == nil && stampOf(info) == since
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{changed: info.ModTime(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.inode = sys.Dev, sys.Ino
	}
	return s
}

// read returns the keyring, and the stamp of its file. On the first use it may make the file.
func (s source) read(first bool) (*Keyring, stamp, error) {
	if s.name == "" {
		return nil, stamp{}, ErrNoSource
	}
	if s.path == "" {
		k, err := ParseKeyring(s.text())
		return k, stamp{}, err
	}
	k, stamp, err := s.readFile()
	if s.made && first && errors.Is(err, fs.ErrNotExist) {
		if err := s.create(); err != nil {
			return nil, stamp, err
		}
		return s.readFile()
	}
	return k, stamp, err
}

func (s source) create() error {
	if s.sealed != nil {
		sealed, err := s.sealed()
		if err != nil {
			return err
		}
		if sealed {
			return errors.New("the file is gone, and there are secrets that only it can open: bring it back, from a backup of the " +
				"data directory; if it is lost for good, delete all keys and the executions with secret parameters first")
		}
	}
	return createKeyring(s.path)
}

func (s source) readFile() (k *Keyring, at stamp, err error) {
	file, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return nil, at, err
	}
	defer func() { _ = file.Close() }() // read only
	info, err := file.Stat()
	if err != nil {
		return nil, at, err
	}
	if err := s.acceptable(info); err != nil {
		return nil, at, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	defer clear(text)
	if err != nil {
		return nil, at, err
	}
	k, err = ParseKeyring(text)
	return k, stampOf(info), err
}

// acceptable refuses a file that others than its owner can use.
func (s source) acceptable(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("this is not a regular file")
	}
	if info.Size() > maxKeyFile {
		return fmt.Errorf("it has more than %d bytes", maxKeyFile)
	}
	if mode := info.Mode().Perm(); mode&s.forbidden != 0 {
		return fmt.Errorf("its mode %#o lets others than its owner at the keys; run: chmod 600 %s", mode, s.path)
	}
	return nil
}
