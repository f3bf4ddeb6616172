package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune-automation/attune/internal/host"
)

// cgroup2 makes families in the version 2 tree. No controller is needed, so it works on hybrid hosts and in the group
// of a systemd service with Delegate=yes.
type cgroup2 struct {
	cfg  Config
	base string
}

func openCgroup2(cfg Config) (nursery, error) {
	base, err := host.OwnGroup("cgroup2", "")
	if err != nil {
		return nil, err
	}
	if filepath.Base(base) == ownersGroup {
		base = filepath.Dir(base)
	}
	probe := group{path: filepath.Join(base, groupName(cfg, "probe-"+strconv.Itoa(os.Getpid())))}
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

func (n *cgroup2) family(name string) family {
	return &cgroup2Family{group: group{path: filepath.Join(n.base, groupName(n.cfg, name))}}
}

type cgroup2Family struct {
	group
	dir    *os.File            // of the group, to be born in
	files  map[string]*os.File // of the group, by name
	used   time.Duration       // by all families that the group has had, as last read
	before time.Duration       // by those before this one

	controllers string // that the group was made with
}

func (f *cgroup2Family) open() (err error) {
	if err = f.make(); err == nil {
		f.controllers, err = f.read("cgroup.controllers")
	}
	return err
}

func (f *cgroup2Family) birth(_ *cradle, sys *syscall.SysProcAttr, start func() (int, error)) error {
	if f.dir == nil {
		dir, err := openFile(f.path, unix.O_DIRECTORY|unix.O_PATH)
		if err != nil {
			return fmt.Errorf("open control group: %w", err)
		}
		f.dir = dir
	}
	sys.UseCgroupFD, sys.CgroupFD = true, int(f.dir.Fd())
	_, err := start()
	return err
}

func (f *cgroup2Family) identity() identity { return identity{Mechanism: Cgroup2, Path: f.path} }

// empty reads "populated", which counts the groups below, too. Zombies do not count.
func (f *cgroup2Family) empty() bool {
	text, err := f.read("cgroup.events")
	if err != nil { // a member may have put another group in its place
		var content []byte
		content, err = os.ReadFile(filepath.Join(f.path, "cgroup.events"))
		text = string(content)
	}
	return err != nil || strings.Contains(text, "populated 0")
}

// read returns what a file of the group says. It stays open, since to open it costs ten times as much as to read it.
func (f *cgroup2Family) read(name string) (string, error) {
	file := f.files[name]
	if file == nil {
		var err error
		if file, err = openFile(filepath.Join(f.path, name), unix.O_RDONLY); err != nil {
			return "", err
		}
		if f.files == nil {
			f.files = map[string]*os.File{}
		}
		f.files[name] = file
	}
	return readOpen(file)
}

// readOpen reads a file of a control group from its start; the longest that we read, memory.stat, has some 2 KiB.
func readOpen(file *os.File) (string, error) {
	var text [8 << 10]byte
	n, err := file.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(text[:n]), nil
}

// openFile opens a file without telling Go's poller, which has nothing to wait for.
func openFile(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// kill is one write; the kernel sees to it that no fork escapes.
func (f *cgroup2Family) kill() {
	if err := os.WriteFile(filepath.Join(f.path, "cgroup.kill"), []byte("1"), 0); err != nil {
		f.signal(unix.SIGKILL, nobody)
	}
}

func (f *cgroup2Family) cpu() time.Duration {
	text, err := f.read("cpu.stat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if usage, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, _ := strconv.ParseInt(strings.TrimSpace(usage), 10, 64) // 0 if the kernel says nothing we know
			f.used = time.Duration(us) * time.Microsecond
			return max(0, f.used-f.before)
		}
	}
	return 0
}

// unset is what a new group says that has no settings. Who may write to it can have made it threaded, which keeps it from
// being killed as a whole.
var unset = map[string]string{
	"cgroup.type":            "domain",
	"cgroup.subtree_control": "",
	"cgroup.max.depth":       "max",
	"cgroup.max.descendants": "max",
}

func (f *cgroup2Family) renew() bool {
	events, err := f.read("cgroup.events")
	if err != nil || !strings.Contains(events, "populated 0\n") || !strings.Contains(events, "frozen 0\n") || !f.asMade() {
		return false
	}
	for name, want := range unset {
		if text, err := f.read(name); err != nil || strings.TrimSpace(text) != want {
			return false
		}
	}
	f.before = f.used
	// With a controller that it did not have there could be limits that nobody of us has set.
	now, err := f.read("cgroup.controllers")
	return err == nil && now == f.controllers
}

func (f *cgroup2Family) close() error {
	for _, file := range f.files {
		_ = file.Close() // read only
	}
	_ = f.dir.Close() // nothing was written; nil is an error that does not matter
	f.files, f.dir = nil, nil
	return f.remove()
}
