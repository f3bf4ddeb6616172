package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

func (a *app) executionCommand() *cobra.Command {
	return group("execution", "Show, end and repeat executions", []string{"exec"},
		a.executionList(), a.executionShow(), a.executionCancel(), a.executionRerun(), a.executionDelete(),
		a.executionLogs(), a.executionArtifacts(),
	)
}

// executionID reads the argument that names an execution.
func executionID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, usage("%q is not an execution's id: `attune execution list` shows them", text)
	}
	return id, nil
}

// forExecution makes a command that takes one id.
func (a *app) forExecution(use, short string, do func(context.Context, *connection, int64) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " ID", Short: short, Args: exactArgs(1, "one execution's id"), ValidArgsFunction: a.completeExecution,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := executionID(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error { return do(ctx, c, id) })
		},
	}
}

func (a *app) executionShow() *cobra.Command {
	var reveal bool
	cmd := a.forExecution("show", "Show one execution", func(ctx context.Context, c *connection, id int64) error {
		e, err := c.Execution(ctx, id)
		if err == nil && reveal {
			e.Parameters, err = c.RevealParameters(ctx, id)
		}
		if err != nil {
			return err
		}
		return a.show(e, func(w io.Writer) error { return executionText(w, e) })
	})
	cmd.Flags().BoolVar(&reveal, "reveal", false, "with the secret parameters; the audit log keeps that you have seen them")
	return cmd
}

func executionText(w io.Writer, e attune.Execution) error {
	exit, failure, waiting, parent := "", "", "", ""
	if e.Parent != nil {
		parent = strconv.FormatInt(*e.Parent, 10)
	}
	if e.ExitCode != nil {
		exit = strconv.Itoa(*e.ExitCode)
	}
	if e.Error != nil {
		failure = string(e.Error.Kind) + ": " + e.Error.Message
	}
	if e.WaitingFor != nil {
		waiting = string(e.WaitingFor.Reason) + ": " + e.WaitingFor.Message
	}
	err := fields(w,
		"id", strconv.FormatInt(e.ID, 10), "parent", parent, "action", string(e.Action), "status", string(e.Status),
		"attempt", fmt.Sprintf("%d of %d", e.Attempt, e.MaxAttempts), "worker", deref(e.Worker),
		"waiting for", waiting, "error", failure, "exit code", exit, "signal", deref(e.Signal),
		"created", stamp(&e.CreatedAt), "started", stamp(e.StartedAt), "finished", stamp(e.FinishedAt),
		"duration", millis(e.DurationMS), "stdout", outputText(e.Stdout), "stderr", outputText(e.Stderr),
		"processor", millis(&e.Resources.CPUMillis), "peak memory", bytesText(e.Resources.MaxRSSBytes),
		"processes", processesText(e.Processes), "parameters", string(e.Parameters),
	)
	if err != nil || !hasResult(e) {
		return err
	}
	if _, err := fmt.Fprintln(w, "result:"); err != nil {
		return err
	}
	return writeJSON(w, e.Result)
}

// processesText says how the processes ended, "" if there is nothing to say.
func processesText(p *attune.Processes) string {
	if p == nil || p.Signal == nil {
		return ""
	}
	text := fmt.Sprintf("ended by %s, %d killed", *p.Signal, p.Killed)
	if len(p.Survivors) > 0 {
		text += ", still there: " + strings.Join(p.Survivors, ", ")
	}
	return text
}

func outputText(o attune.Output) string {
	text := bytesText(o.Bytes)
	if o.DroppedBytes > 0 {
		text += ", " + bytesText(o.DroppedBytes) + " of it not kept"
	}
	return text
}

func (a *app) executionCancel() *cobra.Command {
	return a.forExecution("cancel", "End an execution", func(ctx context.Context, c *connection, id int64) error {
		e, err := c.Cancel(ctx, id)
		if err != nil {
			return err
		}
		return a.show(e, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "execution %d is %s\n", e.ID, e.Status)
			return err
		})
	})
}

func (a *app) executionRerun() *cobra.Command {
	return a.forExecution("rerun", "Run again with the same input, as a new execution",
		func(ctx context.Context, c *connection, id int64) error {
			e, err := c.Rerun(ctx, id)
			if err != nil {
				return err
			}
			if c.parts != nil && c.link == nil {
				a.note("no server runs here: execution %d waits until `attune up` starts", e.ID)
			}
			return a.show(e, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, e.ID)
				return err
			})
		})
}

func (a *app) executionDelete() *cobra.Command {
	return a.forExecution("delete", "Delete an execution that has ended, with its artifacts",
		func(ctx context.Context, c *connection, id int64) error {
			if err := c.Delete(ctx, id); err != nil {
				return err
			}
			a.note("execution %d deleted", id)
			return nil
		})
}

func (a *app) executionLogs() *cobra.Command {
	var stream string
	var options client.LogOptions
	cmd := a.forExecution("logs", "Print what an execution wrote", func(ctx context.Context, c *connection, id int64) error {
		options.Broken = a.tellBroken(id)
		switch stream {
		case "":
			return a.printBoth(ctx, c, id, options)
		case string(attune.Stdout), string(attune.Stderr):
			return a.printLog(ctx, c, id, attune.Stream(stream), options, a.Stdout)
		}
		return usage("--stream %s: write stdout or stderr", stream)
	})
	cmd.Flags().StringVar(&stream, "stream", "", "stdout or stderr alone, on stdout (default: both, each on its own)")
	completes(cmd, "stream", string(attune.Stdout), string(attune.Stderr))
	cmd.Flags().BoolVarP(&options.Follow, "follow", "f", false, "go on until the execution ends")
	cmd.Flags().IntVar(&options.Attempt, "attempt", 0, "of this attempt (default: the latest)")
	return cmd
}

func (a *app) printLog(
	ctx context.Context, c *connection, id int64, stream attune.Stream, options client.LogOptions, w io.Writer,
) error {
	log, err := c.Logs(ctx, id, stream, options)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, log)
	return errors.Join(err, log.Close())
}

// printBoth prints both logs: as they came after each other, if that is known, else at once, line by line.
func (a *app) printBoth(ctx context.Context, c *connection, id int64, options client.LogOptions) error {
	if options.Follow {
		e, err := c.Execution(ctx, id)
		if err != nil {
			return err
		}
		options.Follow = !e.Status.Final()
	}
	if !options.Follow {
		order, err := c.OutputOrder(ctx, id, options.Attempt)
		if err != nil {
			return err
		}
		options.Attempt = order.Attempt
		if len(order.Turns) > 0 {
			stdout, outErr := c.Logs(ctx, id, attune.Stdout, options)
			stderr, errErr := c.Logs(ctx, id, attune.Stderr, options)
			return errors.Join(outErr, errErr, a.printInOrder(order.Turns, stdout, stderr))
		}
	}
	stdout, stderr := inLines(a.Stdout, a.Stderr)
	var both errgroup.Group
	both.Go(func() error { return a.printLog(ctx, c, id, attune.Stderr, options, stderr) })
	return errors.Join(a.printLog(ctx, c, id, attune.Stdout, options, stdout), both.Wait())
}

// printInOrder prints logs by turns, and closes them. One that is nil can't be had.
func (a *app) printInOrder(turns attune.OutputOrder, logs ...io.ReadCloser) (err error) {
	from, to := make([]io.Reader, len(logs)), []io.Writer{a.Stdout, a.Stderr}
	for i, log := range logs {
		from[i] = strings.NewReader("")
		if log != nil {
			from[i] = bufio.NewReader(log)
			defer func() { err = errors.Join(err, log.Close()) }()
		}
	}
	for i, n := range turns {
		if _, err := io.CopyN(to[i%2], from[i%2], n); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	for i := range from {
		if _, err := io.Copy(to[i], from[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) executionArtifacts() *cobra.Command {
	attempt := 0
	cmd := &cobra.Command{
		Use: "artifacts ID [NAME]", Short: "List what an execution left, or print one of it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage("`attune execution artifacts` needs an execution's id, and takes one name")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := executionID(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				if len(args) == 2 {
					return a.printArtifact(ctx, c, id, args[1], attempt)
				}
				return a.listArtifacts(ctx, c, id)
			})
		},
	}
	cmd.Flags().IntVar(&attempt, "attempt", 0, "NAME of this attempt (default: the latest that has it)")
	return cmd
}

func (a *app) listArtifacts(ctx context.Context, c *connection, id int64) error {
	artifacts, err := c.Artifacts(ctx, id)
	if err != nil {
		return err
	}
	return a.show(pageOf(artifacts, ""), func(w io.Writer) error {
		var rows [][]string
		for _, f := range artifacts {
			rows = append(rows, []string{f.Name, string(f.Type), strconv.FormatInt(f.Bytes, 10), strconv.Itoa(f.Attempt)})
		}
		return table(w, []string{"NAME", "TYPE", "BYTES", "ATTEMPT"}, rows)
	})
}

func (a *app) printArtifact(ctx context.Context, c *connection, id int64, name string, attempt int) error {
	content, err := c.OpenArtifact(ctx, id, name, attempt)
	if err != nil {
		return err
	}
	_, err = io.Copy(a.Stdout, content)
	return errors.Join(err, content.Close())
}
