package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup2 makes families in the version 2 tree. No controller is needed, so it works on hybrid hosts and in the group
// of a systemd service with Delegate=yes.
type cgroup2 struct {
	cfg  Config
	base string
}

func openCgroup2(cfg Config) (nursery, error) {
	base, err := ownGroup("cgroup2", "")
	if err != nil {
		return nil, err
	}
	probe := group{filepath.Join(base, groupName(cfg, "probe-"+strconv.Itoa(os.Getpid())))}
	if err := probe.make(); err != nil {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(probe.path, "cgroup.kill")) // Linux 5.14
	if removeErr := probe.remove(); err == nil {
		err = removeErr
	}
	return &cgroup2{cfg, base}, err
}

func (n *cgroup2) mechanism() Mechanism { return Cgroup2 }

func (n *cgroup2) family(id string) family {
	return &cgroup2Family{group{filepath.Join(n.base, groupName(n.cfg, id))}}
}

type cgroup2Family struct{ group }

func (f *cgroup2Family) open() error { return f.make() }

func (f *cgroup2Family) birth(sys *syscall.SysProcAttr, start func() (int, error)) error {
	dir, err := unix.Open(f.path, unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_PATH, 0)
	if err != nil {
		return fmt.Errorf("open control group: %w", err)
	}
	defer func() { _ = unix.Close(dir) }() // nothing was written
	sys.UseCgroupFD, sys.CgroupFD = true, dir
	_, err = start()
	return err
}

func (f *cgroup2Family) identity() identity { return identity{Mechanism: Cgroup2, Path: f.path} }

// empty reads "populated", which counts the groups below, too. Zombies do not count.
func (f *cgroup2Family) empty() bool {
	text, err := os.ReadFile(filepath.Join(f.path, "cgroup.events"))
	return err != nil || strings.Contains(string(text), "populated 0")
}

// kill is one write; the kernel sees to it that no fork escapes.
func (f *cgroup2Family) kill() {
	if err := os.WriteFile(filepath.Join(f.path, "cgroup.kill"), []byte("1"), 0); err != nil {
		f.signal(unix.SIGKILL)
	}
}

func (f *cgroup2Family) cpu() time.Duration {
	text, err := os.ReadFile(filepath.Join(f.path, "cpu.stat"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if usage, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, _ := strconv.ParseInt(strings.TrimSpace(usage), 10, 64) // 0 if the kernel says nothing we know
			return time.Duration(us) * time.Microsecond
		}
	}
	return 0
}

func (f *cgroup2Family) close() error { return f.remove() }
