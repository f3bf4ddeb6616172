package runtime

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// MaxEnvValue is the longest value that PARAM_NAME may have, in bytes. Linux refuses a single string of 128 KiB
// (MAX_ARG_STRLEN); the contract leaves room below it.
const MaxEnvValue = 96 << 10

// Names of what a runtime adds to an environment.
const (
	paramPrefix  = "PARAM_"
	envParamFile = "ATTUNE_PARAMETER_FILE"
	envResult    = "ATTUNE_RESULT_FILE"
)

// ResultFile is $ATTUNE_RESULT_FILE.
func (t *Task) ResultFile() string { return filepath.Join(t.Dirs.Private, "result.json") }

// Environment is what an action's process gets, being put together. It starts from the task's own variables and from
// nothing of the worker's.
type Environment struct {
	vars  map[string]string
	notes []string
}

// NewEnvironment returns the task's variables, with HOME, TMPDIR, PWD, ATTUNE_PACK_DIR and ATTUNE_RESULT_FILE from its
// directories where the action's own env does not say otherwise.
func NewEnvironment(t *Task) *Environment {
	vars := map[string]string{
		"HOME": t.Dirs.Home, "TMPDIR": t.Dirs.Tmp, "PWD": t.Dirs.Work,
		"ATTUNE_PACK_DIR": t.Dirs.Pack, envResult: t.ResultFile(),
	}
	maps.Copy(vars, t.Env)
	return &Environment{vars: vars}
}

// Set adds a variable, or replaces it.
func (e *Environment) Set(name, value string) { e.vars[name] = value }

// PrependPath puts dir first on PATH, which is fallback if the task has none, or an empty one.
func (e *Environment) PrependPath(dir, fallback string) {
	path := e.vars["PATH"]
	if path == "" {
		path = fallback
	}
	rest := slices.DeleteFunc(filepath.SplitList(path), func(entry string) bool { return entry == dir })
	e.vars["PATH"] = strings.Join(append([]string{dir}, rest...), string(filepath.ListSeparator))
}

// AddParameters adds PARAM_NAME for each parameter. Those that no environment can hold are left out, and noted.
func (e *Environment) AddParameters(t *Task) error {
	all, err := t.parameters()
	if err != nil {
		return err
	}
	for _, p := range all {
		name := paramPrefix + strings.ToUpper(p.Name)
		text, ok := p.Text()
		switch {
		case !ok:
			e.note(t, name, "it holds a NUL or half a surrogate pair")
		case len(text) > MaxEnvValue:
			e.note(t, name, fmt.Sprintf("it has %d bytes, more than %d KiB", len(text), MaxEnvValue>>10))
		default:
			e.vars[name] = text
		}
	}
	return nil
}

func (e *Environment) note(t *Task, name, why string) {
	e.notes = append(e.notes, fmt.Sprintf("attune: %s is not set: %s; %s", name, why, elsewhere(t)))
}

// List returns the variables as NAME=value, sorted. The error is a *SetupError for what can't be in an environment.
func (e *Environment) List() ([]string, error) {
	list := make([]string, 0, len(e.vars))
	for _, name := range slices.Sorted(maps.Keys(e.vars)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(e.vars[name], 0) {
			return nil, Setupf("environment variable %q can't be set: a name may not hold '=', and neither part a NUL", name)
		}
		list = append(list, name+"="+e.vars[name])
	}
	return list, nil
}

// Notes are the lines for the action's stderr about what was left out.
func (e *Environment) Notes() []string { return e.notes }
