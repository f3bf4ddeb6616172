package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
)

// Isolation says how executions are kept from the host, and from each other.
type Isolation struct {
	Level   attune.Isolation // the least of all executions
	Users   []runtime.User   // whom executions run as, one at once each; none: the worker's own
	Network bool             // sandboxes have the host's network
	Hidden  []string         // directories and files that are empty in a sandbox
	Secrets []string         // files that no action may read
}

// Confiner confines executions as an Isolation says. It is safe for concurrent use.
type Confiner struct {
	cfg       Isolation
	processes *process.Supervisor
	users     chan runtime.User
	sandboxes func() error // nil: there can be some
}

// NewConfiner returns a Confiner. It tries nothing before it is asked.
func NewConfiner(cfg Isolation, processes *process.Supervisor) *Confiner {
	c := &Confiner{cfg: cfg, processes: processes, users: make(chan runtime.User, len(cfg.Users))}
	for _, user := range cfg.Users {
		c.users <- user
	}
	c.sandboxes = sync.OnceValue(func() error {
		if err := process.FindSandbox(); err != nil {
			return err
		}
		return c.trySandbox()
	})
	return c
}

// Possible tells why there is no such level here, nil if there is.
func (c *Confiner) Possible(level attune.Isolation) error {
	switch {
	case level == attune.IsolationUser && len(c.cfg.Users) == 0:
		return errors.New("worker.run_as names no users: write a range of user ids, like 20000-20009")
	case level != attune.IsolationProcess && len(c.cfg.Users) > 0 && os.Geteuid() != 0:
		return errors.New("only root can run actions as other users: run the worker as root, or leave worker.run_as out")
	case level == attune.IsolationSandbox:
		return c.sandboxes()
	}
	return nil
}

// confinement is that of an execution of this level, until release is called. There are never more of them than users.
func (c *Confiner) confinement(level attune.Isolation) (confine runtime.Confinement, release func()) {
	release = func() {}
	if level != attune.IsolationProcess && len(c.cfg.Users) > 0 {
		user := <-c.users
		confine.User, release = &user, func() { c.users <- user }
	}
	if level == attune.IsolationSandbox {
		confine.Sandbox = &runtime.Sandbox{Hidden: c.cfg.Hidden, Network: c.cfg.Network}
	}
	return confine, release
}

// probeTime bounds a command that looks at what an action could do.
const probeTime = 10 * time.Second

// probe runs a script as an action of this level would be run, with arguments.
func (c *Confiner) probe(ctx context.Context, level attune.Isolation, script string, args ...string) (string, error) {
	confine, release := c.confinement(level)
	defer release()
	var stdout, stderr bytes.Buffer
	command := process.Command{
		ID: "probe-" + string(level), Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...), Dir: "/",
		Stdout: &stdout, Stderr: &stderr, Timeout: probeTime, User: (*process.User)(confine.User),
	}
	if box := confine.Sandbox; box != nil {
		command.Sandbox = &process.Sandbox{Hidden: box.Hidden, Network: box.Network}
	}
	exit, err := c.processes.Run(ctx, command)
	if err == nil && (exit.Code != 0 || exit.Signal != "") {
		err = fmt.Errorf("exit status %d %s: %.300s", exit.Code, exit.Signal, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), err
}

func (c *Confiner) trySandbox() error {
	if _, err := c.probe(context.Background(), attune.IsolationSandbox, ":"); err != nil {
		return fmt.Errorf("bwrap can't make a sandbox here: %w", err)
	}
	return nil
}

// Readable tells what an action of this level could read of what is the worker's alone: its secret files, and its memory
// and environment in /proc.
func (c *Confiner) Readable(ctx context.Context, level attune.Isolation) ([]string, error) {
	files := slices.Clone(c.cfg.Secrets)
	if level != attune.IsolationSandbox { // there, our pid is nobody's or somebody else's
		own := "/proc/" + strconv.Itoa(os.Getpid())
		files = append(files, own+"/mem", own+"/environ")
	}
	// To open is enough, and in /proc it is what is asked for.
	const script = `for file; do ( : <"$file" ) 2>/dev/null && echo "$file"; done; :`
	text, err := c.probe(ctx, level, script, files...)
	if err != nil {
		return nil, fmt.Errorf("look what actions can read: %w", err)
	}
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), nil
}

// confine confines an attempt, until release is called, and opens to it what it needs.
func (w *Worker) confine(a attune.Action, p *place, kept *keeping) (confine runtime.Confinement, release func(), err error) {
	level := w.cfg.Isolation.Level.AtLeast(attune.IsolationProcess).AtLeast(a.Isolation)
	if err := w.confiner.Possible(level); err != nil {
		return confine, nil, runtime.Setupf("%s is to run at isolation %s, which worker %s does not have: %v", a.Ref, level, w.cfg.Name, err)
	}
	confine, free := w.confiner.confinement(level)
	if confine.Sandbox != nil {
		confine.Sandbox.Writable = p.written()
		if p.secrets != "" {
			confine.Sandbox.Readable = []string{p.secrets}
		}
	}
	if confine.User == nil {
		return confine, free, nil
	}
	uid, gid := int(confine.User.UID), int(confine.User.GID)
	err = errors.Join(os.Lchown(p.path, uid, gid), os.Lchown(p.files, uid, gid), kept.open(0o711), handOver(p.secrets, uid, gid))
	if err != nil {
		free()
		return confine, nil, fmt.Errorf("hand the directories of %s over: %w", a.Ref, err)
	}
	return confine, func() {
		if err := kept.open(0o700); err != nil {
			w.log.Error("artifacts are not closed to other executions", "error", err)
		}
		free()
	}, nil
}

// guard sees to it at the start that the worker's level is possible, opens the way to what executions of other users need,
// and tells what actions can read that they should not.
func (w *Worker) guard(ctx context.Context) error {
	level := w.cfg.Isolation.Level.AtLeast(attune.IsolationProcess)
	if err := w.confiner.Possible(level); err != nil {
		return attune.Errorf(attune.CodeInvalid, "worker.isolation %s is not possible here: %v", level, err)
	}
	if len(w.cfg.Isolation.Users) > 0 {
		if err := w.openWay(); err != nil {
			return err
		}
		if _, err := w.confiner.probe(ctx, attune.IsolationUser, `cd "$1"`, w.cfg.Home.tasks()); err != nil {
			return attune.Errorf(attune.CodeInvalid,
				"users of worker.run_as can't get to %s: give the data directory a place that they can pass to: %v", w.cfg.Home.tasks(), err)
		}
	}
	if w.cfg.Exclusive { // it runs what its own user asks for
		return nil
	}
	readable, err := w.confiner.Readable(ctx, level)
	if err != nil {
		return err
	}
	if len(readable) > 0 {
		w.log.Warn("actions can read what is this worker's alone: set worker.isolation to user or sandbox, or run the worker as another user than root",
			"isolation", level, "readable", strings.Join(readable, ", "))
	}
	return nil
}

// openWay lets other users pass, and no more, to where executions run.
func (w *Worker) openWay() error {
	tasks := w.cfg.Home.tasks()
	if err := os.MkdirAll(tasks, 0o711); err != nil {
		return err
	}
	workers := filepath.Dir(w.cfg.Home.dir)
	for _, dir := range []string{filepath.Dir(workers), workers, w.cfg.Home.dir, tasks} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return fmt.Errorf("open the way for other users: %w", err)
		}
	}
	return nil
}

// open gives the directories above the attempt's files a mode: 0711 while another user works there.
func (k *keeping) open(mode os.FileMode) error {
	if k.attempt == nil {
		return nil
	}
	var faults []error
	attempt := filepath.Dir(k.attempt.FilesDir())
	dirs := []string{attempt}
	if !strings.HasPrefix(filepath.Base(attempt), "execution_") {
		dirs = append(dirs, filepath.Dir(attempt))
	}
	for _, dir := range dirs {
		faults = append(faults, os.Chmod(dir, mode))
	}
	if mode != 0o700 {
		worker := filepath.Dir(dirs[len(dirs)-1])
		faults = append(faults, os.Chmod(worker, mode), os.Chmod(filepath.Dir(worker), mode))
	}
	return errors.Join(faults...)
}
