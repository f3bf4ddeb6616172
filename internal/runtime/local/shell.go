package local

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

// bash names itself by $BASH; links to it are resolved by us.
var bash = language{
	names: []string{"bash"},
	ask:   []string{"-c", `printf '%s\n%s\n' "$BASH" "$BASH_VERSION"`},
	answers: func(output string) (identity, bool) {
		path, version, ok := strings.Cut(strings.TrimSpace(output), "\n")
		if !ok {
			return identity{}, false
		}
		file, err := filepath.EvalSymlinks(path)
		version, _, _ = strings.Cut(version, "(") // 5.2.15(1)-release
		return identity{Path: file, Version: version}, err == nil
	},
}

// Shell runs scripts with bash. A command that fails ends the script (set -e); a failure inside a pipe counts only if
// the script sets pipefail. Each parameter is PARAM_NAME in the environment.
type Shell struct{ *host }

func newShell(cfg Config, finder *finder) *Shell {
	return &Shell{newHost(attune.RuntimeShell, bash, cfg, finder)}
}

// Execute runs the action's script.
func (s *Shell) Execute(ctx context.Context, t *runtime.Task) (runtime.Result, error) {
	interpreter, script, err := s.prepare(t)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	env := runtime.NewEnvironment(t)
	env.PrependPath(filepath.Dir(interpreter), s.path)
	if err := env.AddParameters(t); err != nil {
		return runtime.SetupFailure(err)
	}
	stdin, err := runtime.Deliver(t, env)
	if err != nil {
		return runtime.SetupFailure(err)
	}
	return s.run(ctx, t, invocation{interpreter: interpreter, args: []string{"-e", script}, env: env, stdin: stdin})
}
