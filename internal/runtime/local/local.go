package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
)

// DefaultPath is the PATH of actions if worker.path is not set.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Config is what the local runtimes need.
type Config struct {
	Processes    *process.Supervisor
	Path         string // worker.path; "" is DefaultPath. Interpreters are looked for here first
	FallbackPath string // and then here: the worker's own $PATH, where version managers are
	SupportDir   string // a directory of the worker's, for files that actions are started with
	CacheFile    string // remembers interpreters between commands; "" remembers nothing
	Only         string // worker.runtime_id: the one runtime to offer; "" offers all
	Logger       *slog.Logger
}

// Local is every runtime of this host behind one Runtime.
type Local struct {
	runtimes []runtime.Runtime
	finder   *finder
}

// New returns the runtimes of this host. Nothing is looked for before SetUp.
func New(cfg Config) *Local {
	if cfg.Path == "" {
		cfg.Path = DefaultPath
	}
	finder := newFinder(cfg)
	all := []runtime.Runtime{newPython(cfg, finder), newShell(cfg, finder)}
	if cfg.Only != "" {
		all = slices.DeleteFunc(all, func(r runtime.Runtime) bool { return r.Name() != cfg.Only })
	}
	return &Local{runtimes: all, finder: finder}
}

// Name is "local".
func (l *Local) Name() string { return attune.WorkerTypeLocal }

// SetUp looks for interpreters. Calling it again costs a few stats and notices what came, went or changed.
func (l *Local) SetUp(ctx context.Context) error {
	l.finder.load()
	var faults []error
	for _, r := range l.runtimes {
		if err := r.SetUp(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", r.Name(), err))
		}
	}
	l.finder.save()
	return errors.Join(faults...)
}

// Capabilities lists the interpreters found.
func (l *Local) Capabilities() []attune.Runtime {
	var all []attune.Runtime
	for _, r := range l.runtimes {
		all = append(all, r.Capabilities()...)
	}
	return all
}

// CanExecute tells whether the interpreter that the action needs was found.
func (l *Local) CanExecute(a *attune.Action) bool {
	r, ok := l.pick(a)
	return ok && r.CanExecute(a)
}

// Validate passes the task on to the runtime that it is for.
func (l *Local) Validate(ctx context.Context, t *runtime.Task) error {
	r, err := l.runtimeFor(t.Action)
	if err != nil {
		return err
	}
	return r.Validate(ctx, t)
}

// Execute passes the task on to the runtime that it is for.
func (l *Local) Execute(ctx context.Context, t *runtime.Task) (runtime.Result, error) {
	r, err := l.runtimeFor(t.Action)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	return r.Execute(ctx, t)
}

// CleanUp passes it on to all.
func (l *Local) CleanUp(ctx context.Context) error {
	var faults []error
	for _, r := range l.runtimes {
		faults = append(faults, r.CleanUp(ctx))
	}
	return errors.Join(faults...)
}

func (l *Local) runtimeFor(a *attune.Action) (runtime.Runtime, error) {
	if r, ok := l.pick(a); ok {
		return r, nil
	}
	return nil, runtime.Setupf("%s: no local runtime for runner_type %q and a file like %s: "+
		"use python or shell, or a file that ends in .py, .sh or .bash", a.Ref, a.Runtime, path.Base(a.EntryPoint))
}

// pick goes by runner_type; "local", or none, leaves it to the file's ending.
func (l *Local) pick(a *attune.Action) (runtime.Runtime, bool) {
	name := a.Runtime
	if name == "" || name == l.Name() {
		name = byEnding(a.EntryPoint)
	}
	i := slices.IndexFunc(l.runtimes, func(r runtime.Runtime) bool { return r.Name() == name })
	if i < 0 {
		return nil, false
	}
	return l.runtimes[i], true
}

func byEnding(file string) string {
	switch path.Ext(file) {
	case ".py":
		return attune.RuntimePython
	case ".sh", ".bash":
		return attune.RuntimeShell
	}
	return ""
}
