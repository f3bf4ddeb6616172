package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
)

// Server is what server.json says of the server that listens for a data directory.
type Server struct {
	URL         string `json:"url"` // http://127.0.0.1:7080
	PID         int    `json:"pid"`
	Certificate string `json:"certificate_file,omitempty"` // of a server with TLS
}

// Names in the data directory.
const (
	serverFile = "server.json"
	tokenFile  = "token"
	lockFile   = "server.lock"
)

// TokenFile is where the token of a data directory's server is.
func TokenFile(dataDir string) string { return filepath.Join(dataDir, tokenFile) }

// FindServer returns the server of a data directory and its token, or false if none runs there. A server.json that a
// killed server has left counts for nothing: the lock tells.
func FindServer(dataDir string) (Server, string, bool) {
	if !lockIsHeld(filepath.Join(dataDir, lockFile)) {
		return Server{}, "", false
	}
	text, err := os.ReadFile(filepath.Join(dataDir, serverFile))
	if err != nil {
		return Server{}, "", false
	}
	var server Server
	if json.Unmarshal(text, &server) != nil || server.URL == "" {
		return Server{}, "", false
	}
	token, err := readToken(filepath.Join(dataDir, tokenFile))
	return server, token, err == nil || attune.ErrorCode(err) == attune.CodeInvalid // then the server says what it wants
}

// wholeFile is an open file description lock on all of a file. Unlike flock's, it can be looked at without being
// taken, so that a command that looks never gets in the way of a server that starts.
func wholeFile() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
}

func lockIsHeld(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // nothing was written
	lock := wholeFile()
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock)
	return err == nil && lock.Type != unix.F_UNLCK
}

// takeServerLock makes this process the one server of the data directory, until it ends.
func takeServerLock(dataDir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dataDir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("server lock: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		err = attune.Errorf(attune.CodeConflict,
			"a server runs already on %s: stop it, or give this one another --data-dir", dataDir)
	case err != nil:
		err = fmt.Errorf("server lock: %w", err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing is what unlocks
}

// ensureToken returns the data directory's token, and makes one on first use. A file that others may read is taken from them,
// and log is told: they may have read it.
func ensureToken(dataDir string, log *slog.Logger) (string, error) {
	path := filepath.Join(dataDir, tokenFile)
	token, err := readToken(path)
	if err == nil {
		return token, closeToOthers(path, log)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	token = secret.NewToken()
	return token, writeFile(path, token+"\n", 0o600)
}

func closeToOthers(path string, log *slog.Logger) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return nil
	}
	log.Warn("others than its owner could read or replace the server's token, and now can't: who has read it is let in until you remove "+
		"the file and start the server again", "file", path, "mode", fmt.Sprintf("%#o", mode))
	return os.Chmod(path, 0o600)
}

// maxTokenBytes bounds what is read of a token's file. A header of a request could not hold more.
const maxTokenBytes = 64 << 10

// readToken returns the token in a file. A file that somebody has emptied or taken for another one must not become a
// token that nobody knows, or that everybody does. The error holds nothing of what may be one.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	text, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	noPart := func(c rune) bool { return c <= ' ' || c > '~' }
	if token == "" || len(text) > maxTokenBytes || strings.ContainsFunc(token, noPart) {
		return "", attune.Errorf(attune.CodeInvalid, "%s: holds no token, which is one word of printable ASCII characters: "+
			"mend it, or remove it, and the next start makes a new one", path)
	}
	return token, nil
}

// writeServerFile tells the commands on this data directory where the server is.
func writeServerFile(dataDir string, s Server) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dataDir, serverFile), string(text)+"\n", 0o644)
}

// writeFile replaces a file as a whole, so that nobody reads half of it.
func writeFile(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()) // or a power cut might leave an empty one
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
