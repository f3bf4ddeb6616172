package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// User is whom a command runs as, in no other group.
type User struct{ UID, GID uint32 }

func (u *User) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID}
}

// Sandbox is what a command sees of the host: everything, read only, but for what is hidden or writable, and with processes,
// IPC objects and temporary directories of its own. It has no capabilities.
type Sandbox struct {
	Hidden   []string // directories and files that are empty inside
	Readable []string // of what is hidden, what is not
	Writable []string
	Network  bool // the host's; else none
}

// bubblewrap is the program that makes it (bwrap(1)).
const bubblewrap = "bwrap"

// FindSandbox returns an error that says why there are no sandboxes here, as far as that shows without making one.
func FindSandbox() error {
	if _, err := exec.LookPath(bubblewrap); err != nil {
		return errors.New("bwrap is not installed: install bubblewrap")
	}
	return nil
}

// resolvers are where name resolution is told below /run, which is hidden because of the sockets in it.
var resolvers = []string{"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"}

// kernelFiles are what root needs no capability for to change the host through /proc.
var kernelFiles = []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/mtrr"}

// enclosed is the command as bubblewrap starts it.
func (c Command) enclosed() (path string, args []string, err error) {
	if c.Sandbox == nil {
		return c.Path, c.Args, nil
	}
	if path, err = exec.LookPath(bubblewrap); err != nil {
		return "", nil, fmt.Errorf("no sandbox: %w", err)
	}
	args = []string{
		"--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--cap-drop", "ALL",
		"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", "/run",
	}
	if !c.Sandbox.Network {
		args = append(args, "--unshare-net")
	}
	for _, name := range slices.Concat(kernelFiles, resolvers) {
		args = append(args, "--ro-bind-try", name, name)
	}
	for _, name := range c.Sandbox.Hidden {
		if args, err = hide(args, name); err != nil {
			return "", nil, err
		}
	}
	for _, name := range c.Sandbox.Readable {
		args = append(args, "--ro-bind-try", name, name)
	}
	for _, name := range c.Sandbox.Writable {
		args = append(args, "--bind", name, name)
	}
	return path, append(append(args, "--chdir", c.Dir, "--", c.Path), c.Args...), nil
}

// hide puts nothing in the place of a file or a directory; what is not there is hidden enough.
func hide(args []string, name string) ([]string, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return args, nil
	case err != nil:
		return nil, fmt.Errorf("hide %s: %w", name, err)
	case info.IsDir():
		return append(args, "--tmpfs", filepath.Clean(name)), nil
	}
	return append(args, "--ro-bind", "/dev/null", name), nil
}
