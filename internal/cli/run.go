package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/pack"
)

// runFlags are the flags of `attune run`.
type runFlags struct {
	params      string
	timeout     string
	env         []string
	detach      bool
	trace       bool
	idempotency string
}

func (a *app) runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run ACTION|FILE [key=value …]",
		Short: "Run an action or a script file and follow it to its end",
		Long: `Run an action (core.echo) or a script file (./greet.py) and follow it to its end.

  key=value    typed by the action's schema; a script file takes any key, as a string
  key:=JSON    taken as JSON
  key=@FILE    the file's content

Exit status: 0 completed, 1 failed, 2 invalid input, 3 not found or refused, 4 server unreachable or an error of ours,
124 timeout, 125 abandoned, 130 cancelled.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("name an action or a script file: attune run core.echo message=hello")
			}
			return nil
		},
		ValidArgsFunction: a.completeAction,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd.Context(), args[0], args[1:], flags)
		},
	}
	set := cmd.Flags()
	set.StringVar(&flags.params, "params", "", "read parameters from a JSON or YAML file (- for stdin)")
	set.StringVar(&flags.timeout, "timeout", "", "end it after this time: 30s, 5m, or seconds")
	set.StringArrayVar(&flags.env, "env", nil, "set an environment variable: KEY=VALUE (repeatable)")
	set.BoolVar(&flags.detach, "detach", false, "print the id and do not wait")
	set.BoolVar(&flags.trace, "trace", false, "keep the steps with their times as trace.json")
	set.StringVar(&flags.idempotency, "idempotency-key", "", "submit once only, however often this is repeated")
	return cmd
}

func (a *app) run(ctx context.Context, target string, assignments []string, flags runFlags) (err error) {
	interrupts, stop := notifyInterrupts()
	defer stop()
	submission, err := newSubmission(target, flags)
	if err != nil {
		return err
	}
	c, err := a.connect(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if flags.detach && c.session != nil {
		return attune.Errorf(attune.CodeConflict,
			"--detach needs a server to leave the work to: start `attune up`, or run without --detach")
	}
	if submission.Parameters, err = a.parameters(ctx, c.Client, submission, assignments, flags.params); err != nil {
		return err
	}
	if submission.IdempotencyKey == "" { // so that a server that is busy can be asked again
		submission.IdempotencyKey = "run-" + rand.Text()
	}
	execution, err := c.Submit(ctx, submission)
	if err != nil {
		return err
	}
	if flags.detach {
		_, err = fmt.Fprintln(a.Stdout, execution.ID)
		return err
	}
	return a.follow(ctx, c, execution.ID, interrupts)
}

// newSubmission is what the flags and the target say, without the parameters.
func newSubmission(target string, flags runFlags) (client.Submission, error) {
	s := client.Submission{Trace: flags.trace, IdempotencyKey: flags.idempotency}
	if flags.timeout != "" {
		d, err := config.ParseDuration(flags.timeout)
		if err != nil || d <= 0 {
			return s, usage("--timeout %s: write 30s, 5m, or seconds above 0", flags.timeout)
		}
		s.Timeout = d
	}
	for _, variable := range flags.env {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || name == "" {
			return s, usage("--env %s: write KEY=VALUE", variable)
		}
		if s.Env == nil {
			s.Env = map[string]string{}
		}
		s.Env[name] = value
	}
	if !isFile(target) {
		ref, err := attune.ParseRef(target)
		s.Action = ref
		return s, err
	}
	content, err := os.ReadFile(target)
	if err != nil {
		return s, attune.Errorf(attune.CodeNotFound, "script file: %v", err)
	}
	s.Script = &client.Script{Name: filepath.Base(target), Content: string(content)}
	return s, nil
}

// isFile tells a script file from an action's ref, which never has a slash or one of these endings.
func isFile(target string) bool {
	switch filepath.Ext(target) {
	case ".py", ".sh", ".bash":
		return true
	}
	return strings.ContainsRune(target, filepath.Separator)
}

// parameters are those of --params, then those of the command line, typed by the action's schema.
func (a *app) parameters(
	ctx context.Context, c *client.Client, s client.Submission, assignments []string, file string,
) (json.RawMessage, error) {
	schema := pack.ScriptSchema()
	if s.Script == nil && len(assignments) > 0 {
		action, err := c.Action(ctx, s.Action)
		if err != nil {
			return nil, err
		}
		schema = action.Parameters
	}
	all, err := a.paramsFile(file)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, assignment := range assignments {
		name, value, err := parameter(schema, assignment)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, usage("%s is given twice: keep one", name)
		}
		seen[name] = true
		if all[name], err = json.Marshal(value); err != nil {
			return nil, usage("%s: %v", name, err)
		}
	}
	return json.Marshal(all)
}

// parameter reads key=value, key:=JSON or key=@file.
func parameter(schema json.RawMessage, assignment string) (name string, value any, err error) {
	name, text, ok := strings.Cut(assignment, "=")
	if !ok || name == "" || name == ":" {
		return "", nil, usage("%q is not a parameter: write key=value, key:=JSON or key=@file", assignment)
	}
	if raw, isJSON := strings.CutSuffix(name, ":"); isJSON {
		if !json.Valid([]byte(text)) {
			return "", nil, usage("%s: %q is not JSON: write %s:=[1,2] or, for a string, %s=text", raw, text, raw, raw)
		}
		return raw, json.RawMessage(text), nil
	}
	if path, isPath := strings.CutPrefix(text, "@"); isPath {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", nil, usage("%s: %v", name, err)
		}
		text = string(content)
	}
	value, err = pack.Convert(schema, name, text)
	return name, value, err
}

// completeAction completes the first argument with what is installed.
func (a *app) completeAction(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var refs []string
	err := a.call(ctx, func(ctx context.Context, c *connection) error {
		actions, err := c.Actions(ctx, "")
		for _, action := range actions {
			refs = append(refs, string(action.Ref)+"\t"+action.Label)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return refs, cobra.ShellCompDirectiveDefault // files, too
}
