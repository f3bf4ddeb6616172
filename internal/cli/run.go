package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
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
	submitting, release := interruptible(ctx, interrupts)
	submission, err := a.newSubmission(target, flags)
	if err != nil {
		release()
		return err
	}
	c, err := a.connect(submitting, true)
	if err != nil {
		return release().or(err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	execution, err := a.submit(submitting, c, submission, assignments, flags)
	if attune.ErrorCode(err) == attune.CodeNotFound && submission.Script == nil && isFile(target) {
		err = attune.Errorf(attune.CodeNotFound, "there is neither a file %s here nor an action of this name", target)
	}
	if interrupted := release(); err != nil {
		return interrupted.or(err)
	}
	if flags.detach {
		_, err = fmt.Fprintln(a.Stdout, execution.ID)
		return err
	}
	return a.follow(ctx, c, execution.ID, interrupts)
}

// submit completes the submission with its parameters and makes it.
func (a *app) submit(
	ctx context.Context, c *connection, s client.Submission, assignments []string, flags runFlags,
) (e attune.Execution, err error) {
	if flags.detach && c.session != nil {
		return e, attune.Errorf(attune.CodeConflict,
			"--detach needs a server to leave the work to: start `attune up`, or run without --detach")
	}
	if s.Parameters, err = a.parameters(ctx, c.Client, s, assignments, flags.params); err != nil {
		return e, err
	}
	if s.IdempotencyKey == "" { // so that a server that is busy can be asked again
		s.IdempotencyKey = "run-" + rand.Text()
	}
	return c.Submit(ctx, s)
}

// newSubmission is what the flags and the target say, without the parameters.
func (a *app) newSubmission(target string, flags runFlags) (client.Submission, error) {
	s := client.Submission{Trace: flags.trace, IdempotencyKey: flags.idempotency}
	if flags.timeout != "" {
		d, err := config.ParseDuration(flags.timeout)
		if err != nil || d <= 0 {
			return s, usage("--timeout %s: write 30s, 5m, or seconds above 0", flags.timeout)
		}
		s.Timeout = d
	}
	var err error
	if s.Env, err = variables(flags.env); err != nil {
		return s, err
	}
	err = a.aim(&s, target)
	return s, err
}

// variables reads what --env gave.
func variables(given []string) (map[string]string, error) {
	env := make(map[string]string, len(given))
	for _, variable := range given {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || name == "" {
			return nil, usage("--env %s: write KEY=VALUE", variable)
		}
		if err := checkText("--env "+name, value); err != nil {
			return nil, err
		}
		if _, twice := env[name]; twice {
			return nil, usage("--env %s is given twice: keep one", name)
		}
		env[name] = value
	}
	return env, nil
}

// aim sets what is run: the script file of this name, else the action. An action may be called pack.sh, too.
func (a *app) aim(s *client.Submission, target string) error {
	var missing error
	if isFile(target) {
		script, err := a.readScript(target)
		if attune.ErrorCode(err) != attune.CodeNotFound {
			s.Script = script
			return err
		}
		missing = err
	}
	ref, err := attune.ParseRef(target)
	if err != nil && missing != nil {
		return missing
	}
	s.Action = ref
	return err
}

// completeAction completes the first argument with what is installed.
func (a *app) completeAction(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, cobra.ShellCompDirectiveDefault, func(ctx context.Context, c *connection) (refs []string, err error) { // files, too
		actions, err := c.Actions(ctx, "")
		for _, action := range actions {
			refs = append(refs, string(action.Ref)+"\t"+action.Label)
		}
		return refs, err
	})
}

func (a *app) completeExecution(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder,
		func(ctx context.Context, c *connection) (ids []string, err error) {
			page, err := c.Executions(ctx, client.Filter{Limit: 50})
			for _, e := range page.Items {
				ids = append(ids, fmt.Sprintf("%d\t%s %s", e.ID, e.Action, e.Status))
			}
			return ids, err
		})
}

func (a *app) completeWorker(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, cobra.ShellCompDirectiveNoFileComp, func(ctx context.Context, c *connection) (names []string, err error) {
		workers, err := c.Workers(ctx)
		for _, w := range workers {
			names = append(names, w.Name+"\t"+string(w.Status))
		}
		return names, err
	})
}

// completionPatience is how long a person at a prompt waits for an answer. What opening the data directory takes here is not
// part of it: the first command of all makes that directory, and a part of it would be of no use to the next one.
const completionPatience = 2 * time.Second

// complete asks for what an only argument may be.
func (a *app) complete(
	cmd *cobra.Command, args []string, with cobra.ShellCompDirective, list func(context.Context, *connection) ([]string, error),
) (all []string, directive cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	err := a.call(cmd.Context(), func(ctx context.Context, c *connection) (err error) {
		ctx, cancel := context.WithTimeout(ctx, completionPatience)
		defer cancel()
		all, err = list(ctx, c)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return all, with
}
