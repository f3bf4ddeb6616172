package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// errLeave is why following ends when the user has asked twice.
var errLeave = errors.New("left")

// follow shows an execution's output as it comes and then its end, and returns what makes the exit status.
func (a *app) follow(ctx context.Context, c *connection, id int64, interrupts <-chan os.Signal) error {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	over := make(chan struct{})
	go a.obey(ctx, c, id, over, interrupts, leave)
	go a.tellWaiting(ctx, c, id)
	stdout, stderr := inLines(a.Stdout, a.Stderr)
	ended := &lastLine{w: stdout}
	streams := new(errgroup.Group) // each stream goes on when the other one can't be written
	if a.flags.output == "text" {
		options := client.LogOptions{Follow: true, Broken: a.tellBroken(id)}
		streams.Go(func() error { return copyLog(ctx, c.Client, id, attune.Stdout, options, ended) })
		streams.Go(func() error { return copyLog(ctx, c.Client, id, attune.Stderr, options, stderr) })
	}
	execution, err := c.WaitExecution(ctx, id)
	if errors.Is(context.Cause(ctx), errLeave) {
		return exitError(exitCancelled)
	}
	if err != nil {
		return err
	}
	close(over)
	shown := make(chan error, 1)
	go func() { shown <- streams.Wait() }()
	select {
	case <-ctx.Done(): // the reader takes nothing, and the user has waited enough
		return exitError(exitCancelled)
	case err := <-shown:
		a.tellOutput(execution, err)
	}
	err = a.showResult(execution, ended)
	a.note("%s", statusLine(execution))
	if err != nil && a.output.fault() == nil {
		return err
	}
	return exitOf(execution.Status) // an output that was cut off is for exit to tell
}

// tellOutput says why the output of an execution was not all shown.
func (a *app) tellOutput(e attune.Execution, err error) {
	switch {
	case err == nil, a.output.fault() != nil, readerGone(err):
	case attune.ErrorCode(err) == attune.CodeNotFound && e.Stdout.Bytes+e.Stderr.Bytes == 0: // there is nothing to miss
	default:
		a.note("output of execution %d: %s", e.ID, messageOf(err))
	}
}

// messageOf is what an error says to a user.
func messageOf(err error) string {
	var known *attune.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}

// silence is how long an execution may wait before who follows it is told why.
const silence = 2 * time.Second

// tellWaiting says what the execution waits for, each time that this changes, until it has begun.
func (a *app) tellWaiting(ctx context.Context, c *connection, id int64) {
	said := ""
	again := time.NewTicker(silence)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		e, err := c.Execution(ctx, id)
		if err != nil || e.WaitingFor == nil {
			return // it has begun, or whoever waits for its end tells of the error
		}
		if e.WaitingFor.Message != said {
			said = e.WaitingFor.Message
			a.note("execution %d waits: %s", id, printable(said))
		}
	}
}

// obey cancels the execution at the first interrupt and leaves at the second. Where this command is itself the worker,
// leaving means that everything is killed and the row is finished. When the execution is over, any interrupt leaves.
func (a *app) obey(
	ctx context.Context, c *connection, id int64, over <-chan struct{}, interrupts <-chan os.Signal, leave context.CancelCauseFunc,
) {
	for asked := 0; ; asked++ {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-interrupts:
			if !ok {
				return
			}
		}
		switch {
		case closed(over):
			leave(errLeave)
			return
		case asked == 0:
			a.note("cancelling execution %d: once more to leave at once", id)
			go a.cancel(ctx, c, id)
		case c.session != nil && asked == 1:
			c.session.Kill() // its end is then seen like any other, unless it can't be stored
			go leaveAfter(ctx, c.session.Ended(), leave)
		default:
			leave(errLeave)
			return
		}
	}
}

// lastWord is how long after the worker's end the execution's own may still be seen.
const lastWord = 2 * time.Second

// leaveAfter leaves when the worker has ended and nothing was heard of the execution since.
func leaveAfter(ctx context.Context, ended <-chan struct{}, leave context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
		return
	case <-ended:
	}
	select {
	case <-ctx.Done():
	case <-time.After(lastWord):
		leave(errLeave)
	}
}

func closed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// cancelPause is the time between two tries to cancel through a server that is away: it may only be starting again, and the
// execution is waited for as long.
const cancelPause = 500 * time.Millisecond

func (a *app) cancel(ctx context.Context, c *connection, id int64) {
	for told := false; ; told = true {
		_, err := c.Cancel(ctx, id)
		if err == nil || attune.ErrorCode(err) == attune.CodeConflict || ctx.Err() != nil {
			return
		}
		if !told {
			a.complain(err)
		}
		if attune.ErrorCode(err) != attune.CodeUnavailable {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(cancelPause):
		}
	}
}

// note is a line for a person who watches, on stderr.
func (a *app) note(format string, args ...any) {
	if !a.flags.quiet {
		_, _ = fmt.Fprintf(a.Stderr, "attune: %s\n", printableLines(fmt.Sprintf(format, args...))) // nowhere is left to say that it failed
	}
}

// tellBroken returns what tells that the output of an execution breaks off, and that it goes on. Both streams tell it, which
// as a rule break off together, and it is said once.
func (a *app) tellBroken(id int64) func(error) {
	var mu sync.Mutex
	broken := 0
	return func(why error) {
		mu.Lock()
		defer mu.Unlock()
		if why == nil {
			if broken--; broken == 0 {
				a.note("the output of execution %d goes on where it was", id)
			}
			return
		}
		if broken++; broken == 1 {
			a.note("the output of execution %d broke off (%s): trying again, for up to a minute while the server can't be reached",
				id, messageOf(why))
		}
	}
}

func copyLog(
	ctx context.Context, c *client.Client, id int64, stream attune.Stream, options client.LogOptions, w io.Writer,
) error {
	log, err := c.Logs(ctx, id, stream, options)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, log)
	return errors.Join(err, log.Close())
}

// showResult prints the result, unless the output ended with it.
func (a *app) showResult(e attune.Execution, out *lastLine) error {
	if a.flags.output != "text" {
		return a.show(e, nil)
	}
	if !hasResult(e) || out.endsWith(e.Result) {
		return nil
	}
	if err := out.finishLine(); err != nil {
		return err
	}
	return writeJSON(a.Stdout, e.Result)
}

// hasResult tells a result from none, which reads null.
func hasResult(e attune.Execution) bool {
	return len(e.Result) > 0 && string(e.Result) != "null"
}

func statusLine(e attune.Execution) string {
	line := fmt.Sprintf("execution %d %s", e.ID, e.Status)
	if e.DurationMS != nil {
		line += " after " + millis(e.DurationMS)
	}
	if e.Attempt > 1 {
		line += fmt.Sprintf(", attempt %d of %d", e.Attempt, e.MaxAttempts)
	}
	if e.Error != nil {
		line += fmt.Sprintf(": %s (more: attune execution show %d)", printable(e.Error.Message), e.ID)
	}
	return line
}

func writeJSON(w io.Writer, document json.RawMessage) error {
	var text bytes.Buffer
	if err := json.Indent(&text, document, "", "  "); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	text.WriteByte('\n')
	_, err := w.Write(text.Bytes())
	return err
}

// lastLine passes output on and remembers its last line, up to the size that a result may have.
type lastLine struct {
	w    io.Writer
	line []byte
	cut  bool // the line was longer than what is remembered
	open bool // the output does not end with a newline
}

const lastLineBytes = 2 << 20

// Write passes p on.
func (l *lastLine) Write(p []byte) (int, error) {
	l.remember(p)
	return l.w.Write(p)
}

func (l *lastLine) remember(p []byte) {
	if len(p) == 0 {
		return
	}
	body := bytes.TrimSuffix(p, []byte("\n"))
	// A newline that ended the line before begins a new one with what comes now.
	if !l.open {
		l.line, l.cut = l.line[:0], false
	}
	l.open = len(body) == len(p)
	if i := bytes.LastIndexByte(body, '\n'); i >= 0 {
		l.line, l.cut, body = l.line[:0], false, body[i+1:]
	}
	if len(l.line)+len(body) > lastLineBytes {
		l.line, l.cut = l.line[:0], true
		return
	}
	l.line = append(l.line, body...)
}

// endsWith tells whether the last line is this JSON document, however it is spaced.
func (l *lastLine) endsWith(document json.RawMessage) bool {
	var printed, wanted bytes.Buffer
	if l.cut || json.Compact(&printed, l.line) != nil || json.Compact(&wanted, document) != nil {
		return false
	}
	return bytes.Equal(printed.Bytes(), wanted.Bytes())
}

// finishLine begins a new line if the output left one open.
func (l *lastLine) finishLine() error {
	if !l.open {
		return nil
	}
	_, err := io.WriteString(l.w, "\n")
	return err
}
