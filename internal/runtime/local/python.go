package local

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

//go:embed runner.py
var runnerSource []byte

// oldestPython is the oldest minor version of Python 3 that the runner supports.
const oldestPython = 8

// python tells its own file, which a shim does not, and whether it is a virtual environment's: that one must be
// started by its link, since the link's place is how it finds its packages.
var python = language{
	names: []string{"python3", "python"},
	ask: []string{"-I", "-c",
		"import sys; print(sys.executable, '%d.%d.%d' % sys.version_info[:3], sys.prefix != sys.base_prefix, sep='\\n')"},
	answers: func(output string) (identity, bool) {
		lines := strings.Split(strings.TrimSpace(output), "\n")
		if len(lines) != 3 || !supported(lines[1]) {
			return identity{}, false
		}
		if lines[2] == "True" {
			return identity{Path: lines[0], Version: lines[1]}, true
		}
		file, err := filepath.EvalSymlinks(lines[0])
		return identity{Path: file, Version: lines[1]}, err == nil
	},
}

func supported(version string) bool {
	parts := strings.Split(version, ".")
	if len(parts) < 2 || parts[0] != "3" {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && minor >= oldestPython
}

// Python runs files with a function run(**parameters), and scripts. One static program, runner.py, decides which it is
// by parsing the file, and calls the function or runs the script.
type Python struct {
	*host
	runner string
}

func newPython(cfg Config, finder *finder) *Python {
	name := fmt.Sprintf("runner-%08x.py", crc32.ChecksumIEEE(runnerSource)) // versions side by side keep their own
	return &Python{host: newHost(attune.RuntimePython, python, cfg, finder), runner: filepath.Join(cfg.SupportDir, name)}
}

// SetUp looks for Python and puts the runner where it can be started.
func (p *Python) SetUp(ctx context.Context) error {
	if err := p.host.SetUp(ctx); err != nil {
		return err
	}
	there, err := os.ReadFile(p.runner)
	if err == nil && bytes.Equal(there, runnerSource) {
		return nil
	}
	err = replaceFile(p.runner, runnerSource)
	if err == nil { // no secret: actions that run as other users read it, too
		err = errors.Join(os.Chmod(p.runner, 0o644), os.Chmod(filepath.Dir(p.runner), 0o755))
	}
	if err != nil {
		return fmt.Errorf("write Python's runner: %w", err)
	}
	return nil
}

// Execute runs the action's file.
func (p *Python) Execute(ctx context.Context, t *runtime.Task) (runtime.Result, error) {
	interpreter, script, err := p.prepare(t)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	env := runtime.NewEnvironment(t)
	env.PrependPath(filepath.Dir(interpreter), p.path)
	if t.Action.Delivery == attune.DeliverEnv {
		if err := env.AddParameters(t); err != nil {
			return runtime.SetupFailure(err)
		}
	}
	stdin, err := runtime.Deliver(t, env)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	arguments, err := p.arguments(t)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	value := filepath.Join(t.Dirs.Private, "value")
	return p.run(ctx, t, invocation{
		interpreter: interpreter,
		args:        []string{"-B", p.runner, script, t.Action.Function, arguments, value, filepath.Join(t.Dirs.Pack, "lib")},
		env:         env, stdin: stdin, value: value,
	})
}

// arguments returns where a function finds its parameters: on standard input if they are there as JSON anyway, else in
// a private file of their own, because which of the two an action is shows only when its file is parsed.
func (p *Python) arguments(t *runtime.Task) (string, error) {
	if t.Action.Delivery == attune.DeliverStdin && t.Action.Format == attune.FormatJSON {
		return "-", nil
	}
	document, err := t.Document(attune.FormatJSON)
	if err != nil {
		return "", err
	}
	name := filepath.Join(t.Dirs.Private, "arguments.json")
	if err := os.WriteFile(name, document, 0o600); err != nil {
		return "", fmt.Errorf("write the arguments of %s: %w", t.ID, err)
	}
	return name, nil
}
