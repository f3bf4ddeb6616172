package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/config"
)

// dataDirAdvice says what keeps a command from working in its data directory and what to do, "" if nothing does. The
// error that a command met tells of a file or of the database alone.
func dataDirAdvice(cfg *config.Config) string {
	fault := checkDataDir(cfg.DataDir)
	if path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:"); ok && fault == nil {
		if !filepath.IsAbs(path) {
			path = filepath.Join(cfg.DataDir, path)
		}
		fault = checkDatabase(path)
	}
	if fault == nil {
		return ""
	}
	return fmt.Sprintf("data directory %s: %v: set --data-dir or ATTUNE_DATA_DIR to a directory that you may write", cfg.DataDir, fault)
}

// checkDataDir looks at the directory, or at the nearest one above it if it is still to be made.
func checkDataDir(dir string) error {
	info, err := os.Stat(dir)
	parent := filepath.Dir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && parent != dir:
		return checkDataDir(parent)
	case err != nil:
		return reason(err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s can't be written: %w", dir, err)
	}
	return nil
}

// sqliteHeader begins every SQLite database (https://www.sqlite.org/fileformat.html, section 1.3).
const sqliteHeader = "SQLite format 3\x00"

// checkDatabase looks at a database file, if there is one.
func checkDatabase(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it would be made
	}
	if err != nil {
		return reason(err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		return fmt.Errorf("%s can't be written: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return reason(err)
	}
	defer func() { _ = f.Close() }() // read only
	header := make([]byte, len(sqliteHeader))
	if n, err := io.ReadFull(f, header); n > 0 && (err != nil || !bytes.Equal(header, []byte(sqliteHeader))) {
		return fmt.Errorf("%s is not a database", path)
	}
	return nil
}

// reason is what went wrong with a file, without the system call.
func reason(err error) error {
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		return fmt.Errorf("%s: %w", at.Path, at.Err)
	}
	return err
}
