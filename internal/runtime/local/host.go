package local

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
)

// host is what Python and Shell have in common: one interpreter of one language, and files that it runs.
type host struct {
	name      string
	support   string // the directory of what actions are started with
	path      string // PATH of actions that name none
	lang      language
	finder    *finder
	processes *process.Supervisor
	logger    *slog.Logger
	found     atomic.Pointer[identity]
}

func newHost(name string, lang language, cfg Config, finder *finder) *host {
	return &host{
		name: name, support: cfg.SupportDir, path: cfg.Path, lang: lang, finder: finder, processes: cfg.Processes, logger: cfg.Logger,
	}
}

// Name is the runner_type.
func (h *host) Name() string { return h.name }

// SetUp looks for the interpreter.
func (h *host) SetUp(ctx context.Context) error {
	before := h.found.Load()
	found, ok := h.finder.find(ctx, h.lang)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !ok:
		h.found.Store(nil)
	case before == nil || *before != found:
		h.found.Store(&found)
	}
	return nil
}

// Capabilities has the interpreter, if there is one.
func (h *host) Capabilities() []attune.Runtime {
	found := h.found.Load()
	if found == nil {
		return nil
	}
	return []attune.Runtime{{Name: h.name, Version: found.Version, Path: found.Path}}
}

// CanExecute tells whether there is an interpreter. Which actions are meant for it is for Local to say.
func (h *host) CanExecute(*attune.Action) bool { return h.found.Load() != nil }

// Validate checks that the interpreter and the action's file are there.
func (h *host) Validate(_ context.Context, t *runtime.Task) error {
	_, _, err := h.prepare(t)
	return err
}

// CleanUp has nothing to give back.
func (h *host) CleanUp(context.Context) error { return nil }

// prepare returns the interpreter and the action's file.
func (h *host) prepare(t *runtime.Task) (interpreter, script string, err error) {
	found := h.found.Load()
	if found == nil {
		return "", "", runtime.Setupf(
			"%s needs %s, which is not installed here: install it, or run it on a worker that has it",
			t.Action.Ref, h.lang.names[0])
	}
	if _, ok := executable(found.Path); !ok {
		return "", "", runtime.Setupf("%s is gone since the worker found it: install it again, or restart the worker", found.Path)
	}
	entry := filepath.FromSlash(t.Action.EntryPoint)
	if !filepath.IsLocal(entry) {
		return "", "", runtime.Setupf("entry_point %q of %s leads out of the pack", t.Action.EntryPoint, t.Action.Ref)
	}
	script = filepath.Join(t.Dirs.Pack, entry)
	info, err := os.Stat(script)
	if err != nil || !info.Mode().IsRegular() {
		return "", "", runtime.Setupf("%s of %s is missing from its pack: install the pack again",
			t.Action.EntryPoint, t.Action.Ref)
	}
	return found.Path, script, nil
}
