package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// vault is where the secrets of what runs are, in memory: no disk ever has them, and no reboot leaves them. It has the
// same place for every life of a worker, so that the next one finds what a kill has left, and is there only while there
// is something in it: a worker that is killed may have no next life.
type vault struct{ name string }

// vaultBases are where a host has files in memory that everybody may make.
var vaultBases = []string{"/dev/shm", "/run", "/tmp"}

// vaultMode lets executions of other users pass to their own directories, and no further.
const vaultMode = 0o711

func vaultOf(home Home) vault {
	sum := sha256.Sum256([]byte(home.dir))
	return vault{fmt.Sprintf("attune-%s-%s", strconv.Itoa(os.Getuid()), hex.EncodeToString(sum[:8]))}
}

// put writes the secrets of a task as files of one directory, which only their user can read.
func (v vault) put(task string, files map[string][]byte) (dir string, err error) {
	for made := false; !made; {
		root, err := v.open()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, task)
		if err := removeTree(dir); err != nil { // of a crash
			return "", err
		}
		err = os.Mkdir(dir, 0o700)
		if made = err == nil; !made && !errors.Is(err, fs.ErrNotExist) { // else the end of another task has just removed the vault
			return "", err
		}
	}
	for name, value := range files {
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o600); err != nil {
			return "", errors.Join(err, v.remove(dir))
		}
	}
	return dir, nil
}

// handOver gives the secrets of a task to the user that it runs as.
func handOver(dir string, uid, gid int) error {
	if dir == "" {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// remove removes the secrets of a task, and the vault with the last of them.
func (v vault) remove(dir string) error {
	if dir == "" {
		return nil
	}
	if err := removeTree(dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// open returns the vault, which it makes on first use.
func (v vault) open() (string, error) {
	var why error
	for _, base := range vaultBases {
		path, err := v.openIn(base)
		if err == nil {
			return path, nil
		}
		why = errors.Join(why, err)
	}
	return "", fmt.Errorf("no directory in memory can be used: mount a tmpfs at /dev/shm that all may write to: %w", why)
}

func (v vault) openIn(base string) (string, error) {
	var on unix.Statfs_t
	if err := unix.Statfs(base, &on); err != nil {
		return "", fmt.Errorf("%s: %w", base, err)
	}
	if kind := int64(on.Type); kind != unix.TMPFS_MAGIC && kind != unix.RAMFS_MAGIC { //nolint:unconvert // 32 bits elsewhere
		return "", fmt.Errorf("%s is not in memory", base)
	}
	path := filepath.Join(base, v.name)
	for {
		if err := os.Mkdir(path, vaultMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		// The end of another task may have removed it already.
		if err := checkVault(path); !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
}

// checkVault sees to it that a vault is ours: in a directory where all may write, somebody else may have been first.
func checkVault(path string) error {
	var is unix.Stat_t
	if err := unix.Lstat(path, &is); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if is.Mode&unix.S_IFMT != unix.S_IFDIR || int(is.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a directory of this user's: remove it", path)
	}
	if is.Mode != unix.S_IFDIR|vaultMode { // an action may have done that, or the umask
		return os.Chmod(path, vaultMode)
	}
	return nil
}

// empty removes the vault with all that is in it.
func (v vault) empty() error {
	var faults []error
	for _, base := range vaultBases {
		path := filepath.Join(base, v.name)
		var is unix.Stat_t
		if unix.Lstat(path, &is) == nil && is.Mode&unix.S_IFMT == unix.S_IFDIR && int(is.Uid) == os.Getuid() {
			faults = append(faults, removeTree(path))
		}
	}
	return errors.Join(faults...)
}
