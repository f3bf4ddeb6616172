package local

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// language says how interpreters of one kind are found and asked who they are.
type language struct {
	names   []string                             // of the command, the preferred one first
	ask     []string                             // arguments that make one print what answer reads
	answers func(output string) (identity, bool) // false: not one that we can use
}

// identity is what an interpreter says of itself.
type identity struct {
	Path    string `json:"path"` // the real file, behind links and shims
	Version string `json:"version"`
}

// fingerprint tells whether a file is still the one that was looked at.
type fingerprint struct {
	Inode    uint64 `json:"inode"`
	Size     int64  `json:"size"`
	Modified int64  `json:"mtime_ns"`
}

// remembered is a cache entry: the command that was found and the file behind it, as they were.
type remembered struct {
	identity
	Command fingerprint `json:"command"`
	Real    fingerprint `json:"real"`
}

// finder looks for interpreters and remembers them.
type finder struct {
	dirs   []string
	file   string
	probe  prober
	logger *slog.Logger

	mu      sync.Mutex
	known   map[string]remembered // by the command's path
	changed bool
}

// prober runs a command of ours and returns what it printed.
type prober func(ctx context.Context, command string, args []string) (string, error)

func newFinder(cfg Config) *finder {
	dirs := append(filepath.SplitList(cfg.Path), filepath.SplitList(cfg.FallbackPath)...)
	return &finder{
		dirs: dirs, file: cfg.CacheFile, probe: newProber(cfg.Processes), logger: cfg.Logger,
		known: map[string]remembered{},
	}
}

// find returns the first usable interpreter: by name first, then in the order of the path.
func (f *finder) find(ctx context.Context, lang language) (identity, bool) {
	for _, name := range lang.names {
		for _, dir := range f.dirs {
			if !filepath.IsAbs(dir) {
				continue
			}
			if found, ok := f.examine(ctx, filepath.Join(dir, name), lang); ok {
				return found, true
			}
		}
	}
	return identity{}, false
}

// examine asks a command who it is, unless it and the file behind it are as they were when it was asked last.
func (f *finder) examine(ctx context.Context, command string, lang language) (identity, bool) {
	mark, ok := executable(command)
	if !ok {
		return identity{}, false
	}
	if found, ok := f.recall(command, mark); ok {
		return found, true
	}
	output, err := f.probe(ctx, command, lang.ask)
	if err != nil {
		f.logger.DebugContext(ctx, "interpreter does not answer", "command", command, "error", err)
		return identity{}, false
	}
	found, ok := lang.answers(output)
	if !ok {
		f.logger.DebugContext(ctx, "interpreter can't be used", "command", command, "answer", output)
		return identity{}, false
	}
	behind, ok := executable(found.Path)
	if ok {
		f.remember(command, remembered{identity: found, Command: mark, Real: behind})
	}
	return found, ok
}

func (f *finder) recall(command string, mark fingerprint) (identity, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	entry, ok := f.known[command]
	if !ok || entry.Command != mark {
		return identity{}, false
	}
	behind, ok := executable(entry.Path)
	return entry.identity, ok && behind == entry.Real
}

func (f *finder) remember(command string, entry remembered) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[command] = entry
	f.changed = true
}

// load reads the cache. One that is not there or not readable is an empty one: everything in it can be found again.
func (f *finder) load() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == "" || len(f.known) > 0 {
		return
	}
	content, err := os.ReadFile(f.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var known map[string]remembered
	if err == nil {
		err = json.Unmarshal(content, &known)
	}
	if err != nil || known == nil {
		f.changed = true
		return
	}
	f.known = known
}

// save writes what was found anew. Without a cache the next command asks again, so a failure is only worth a line.
func (f *finder) save() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == "" || !f.changed {
		return
	}
	if err := f.write(); err != nil {
		f.logger.Warn("interpreters can't be remembered; the next start asks them again", "file", f.file, "error", err)
		return
	}
	f.changed = false
}

func (f *finder) write() error {
	content, err := json.MarshalIndent(f.known, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(f.file, content)
}

// executable returns the fingerprint of a regular file that somebody may execute.
func executable(path string) (fingerprint, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fingerprint{}, false
	}
	mark := fingerprint{Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		mark.Inode = stat.Ino
	}
	return mark, true
}

// replaceFile writes a file (0600) as a whole: several commands may start at once.
func replaceFile(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
