package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
)

// maxListed is the most that the API lists at once.
const maxListed = 500

// listing is what the flags of `execution list` say.
type listing struct {
	client.Filter
	statuses             []string
	action, since, until string
}

func (a *app) executionList() *cobra.Command {
	l, watch := &listing{}, false
	cmd := &cobra.Command{
		Use: "list", Short: "List executions, the newest first", Args: noArgs,
		Long: `List executions, the newest first. --text and several filters at once look at 10,000 executions at most, one by one, and
say so if there are more. With -o json an item has the fields of an execution but parameters, result, stdout, stderr,
resources and processes: ` + "`attune execution show ID -o json`" + ` has all. With --watch, the list is written anew on a terminal whenever it
changes; elsewhere, each change is a line, or with -o json an object.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := l.filter(time.Now())
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				if watch {
					return a.watch(ctx, c, filter)
				}
				return a.list(ctx, c, filter)
			})
		},
	}
	set := cmd.Flags()
	set.StringSliceVar(&l.statuses, "status", nil, "only these: "+statusNames())
	set.StringVar(&l.action, "action", "", "only of this action")
	set.StringVar(&l.Pack, "pack", "", "only of this pack")
	set.StringVar(&l.Worker, "worker", "", "only on this worker")
	set.Int64Var(&l.Parent, "parent", 0, "only what this execution has started")
	set.StringVar(&l.since, "since", "", "only created then or later: 1h, 30m, or 2026-01-31T08:00:00Z")
	set.StringVar(&l.until, "until", "", "only created before, written as --since")
	set.StringVar(&l.Text, "text", "", "only with this in the action, the worker's name or the error's message, or with this id")
	set.IntVar(&l.Limit, "limit", 50, fmt.Sprintf("at most so many, up to %d", maxListed))
	set.BoolVarP(&watch, "watch", "w", false, "go on to print those that change")
	set.StringVar(&l.Cursor, "cursor", "", "go on where a list ended (next_cursor of -o json)")
	completes(cmd, "status", strings.Fields(statusNames())...)
	completesFrom(cmd, "action", a.completeAction)
	completesFrom(cmd, "worker", a.completeWorker)
	return cmd
}

// filter checks what the flags say. Ages are counted back from now.
func (l *listing) filter(now time.Time) (f client.Filter, err error) {
	f = l.Filter
	for _, s := range l.statuses {
		if !attune.Status(s).Valid() {
			return f, usage("--status %s: write one of %s", s, statusNames())
		}
		f.Statuses = append(f.Statuses, attune.Status(s))
	}
	f.Action = attune.Ref(l.action)
	if f.Limit < 1 || f.Limit > maxListed {
		return f, usage("--limit %d: write a number from 1 to %d, and go on with --cursor", f.Limit, maxListed)
	}
	if f.Since, err = moment("--since", l.since, now); err != nil {
		return f, err
	}
	f.Until, err = moment("--until", l.until, now)
	return f, err
}

// moment reads a time, or an age: 1h is an hour ago.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	age, err := config.ParseDuration(text)
	if err != nil || age < 0 {
		return time.Time{}, usage("%s %s: write how long ago (30m, 1h), or a time (2026-01-31T08:00:00Z)", flag, text)
	}
	return now.Add(-age), nil
}

func (a *app) list(ctx context.Context, c *connection, filter client.Filter) error {
	found, err := c.Executions(ctx, filter)
	if err != nil {
		return err
	}
	if found.Incomplete && a.flags.output == "text" {
		a.note("there may be more: so many executions were looked at, go on with --cursor %s", found.NextCursor)
	}
	shown := pageOf(found.Items, found.NextCursor)
	shown.Incomplete = found.Incomplete
	return a.show(shown, func(w io.Writer) error { return executionTable(w, found.Items) })
}

func statusNames() string {
	var names []string
	for _, s := range attune.Statuses() {
		names = append(names, string(s))
	}
	return strings.Join(names, " ")
}

func executionTable(w io.Writer, executions []attune.ExecutionSummary) error {
	return table(w, executionHead(), executionRows(executions))
}

func executionHead() []string {
	return []string{"ID", "ACTION", "STATUS", "WORKER", "CREATED", "DURATION", "WHY"}
}

func executionRows(executions []attune.ExecutionSummary) [][]string {
	var rows [][]string
	for _, e := range executions {
		rows = append(rows, []string{
			strconv.FormatInt(e.ID, 10), string(e.Action), string(e.Status), orDash(deref(e.Worker)),
			stamp(&e.CreatedAt), orDash(millis(e.DurationMS)), why(e),
		})
	}
	return rows
}

// why explains an execution that waits or did not complete, in a few words.
func why(e attune.ExecutionSummary) string {
	switch {
	case e.WaitingFor != nil:
		return e.WaitingFor.Message
	case e.Error != nil && strings.HasPrefix(e.Error.Message, string(e.Error.Kind)):
		return e.Error.Message
	case e.Error != nil:
		return string(e.Error.Kind) + ": " + e.Error.Message
	}
	return ""
}
