package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

const (
	// gatherChanges is how long changes are gathered before the list is read again.
	gatherChanges = 200 * time.Millisecond
	// readAgain is how often it is read where no server tells of changes, and how soon after an error.
	readAgain = time.Second
)

// watch prints executions and goes on to print those that change, until the command is interrupted: on a terminal as a table
// that is written anew, else as one line, or one JSON object, for each change.
func (a *app) watch(ctx context.Context, c *connection, filter client.Filter) error {
	changes := a.changes(ctx, c)
	seen := map[int64]attune.ExecutionSummary{}
	away := false
	for {
		found, err := c.Executions(ctx, filter)
		switch {
		case attune.ErrorCode(err) == attune.CodeUnavailable && len(seen) > 0:
			if !away {
				a.note("%s: trying again", messageOf(err))
			}
			away = true
		case err != nil:
			return err
		default:
			away = false
			if err := a.showChanges(found.Items, seen); err != nil {
				return err
			}
		}
		if err := next(ctx, changes, away || c.parts != nil); err != nil {
			return err
		}
	}
}

// next waits for changes. Where nobody tells of them, time does.
func next(ctx context.Context, changes <-chan struct{}, untold bool) error {
	var clock <-chan time.Time
	if untold {
		timer := time.NewTimer(readAgain)
		defer timer.Stop()
		clock = timer.C
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-clock:
		return nil
	case <-changes:
	}
	more := time.NewTimer(gatherChanges)
	defer more.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-more.C:
	}
	return nil
}

// changes returns a channel that gets a value when executions have changed. The stream is begun again when it ends; what
// changed meanwhile is told, too.
func (a *app) changes(ctx context.Context, c *connection) <-chan struct{} {
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // it will be read again anyway
		}
	}
	go func() {
		for last := ""; ctx.Err() == nil; {
			for event, err := range c.EventsAfter(ctx, last) {
				if err == nil {
					last = event.ID
				}
				tell()
			}
			select {
			case <-ctx.Done():
			case <-time.After(readAgain):
			}
		}
	}()
	return changed
}

// showChanges prints what is not as it was seen before. What no longer fits the filter goes from a terminal, and is not told
// of elsewhere.
func (a *app) showChanges(items []attune.ExecutionSummary, seen map[int64]attune.ExecutionSummary) error {
	var changed []attune.ExecutionSummary
	for _, e := range slices.Backward(items) { // the newest last, as in a log
		before, known := seen[e.ID]
		if !known || !reflect.DeepEqual(before, e) {
			changed = append(changed, e)
		}
	}
	first, fewer := len(seen) == 0, len(seen) > len(items)
	clear(seen)
	for _, e := range items {
		seen[e.ID] = e
	}
	switch {
	case a.flags.output != "text":
		return a.showEach(changed)
	case !isTerminal(a.output.w):
		return executionLines(a.Stdout, changed, first)
	case len(changed) > 0 || first || fewer:
		return a.redraw(items)
	}
	return nil
}

// showEach prints values one after the other, each JSON object on a line, each YAML document after its mark.
func (a *app) showEach(changed []attune.ExecutionSummary) error {
	var faults error
	for _, e := range changed {
		if a.flags.output == "json" {
			faults = errors.Join(faults, json.NewEncoder(a.Stdout).Encode(e))
			continue
		}
		_, err := io.WriteString(a.Stdout, "---\n")
		faults = errors.Join(faults, err, a.showYAML(e))
	}
	return faults
}

// redraw clears the terminal and prints as many as there is room for: the newest are first.
func (a *app) redraw(items []attune.ExecutionSummary) error {
	if _, err := io.WriteString(a.Stdout, "\x1b[H\x1b[2J"); err != nil {
		return err
	}
	const others = 2 // the head, and the line of the cursor
	if room := heightOf(a.Stdout) - others; room > 0 {
		items = items[:min(len(items), room)]
	}
	return executionTable(a.Stdout, items)
}

// executionLines prints executions below those that were printed before.
func executionLines(w io.Writer, executions []attune.ExecutionSummary, head bool) error {
	const column = 12 // or columns would begin elsewhere each time
	columns := tabwriter.NewWriter(w, column, 0, gap, ' ', 0)
	rows := executionRows(executions)
	if head {
		rows = slices.Insert(rows, 0, executionHead())
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		if _, err := fmt.Fprintln(columns, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}
