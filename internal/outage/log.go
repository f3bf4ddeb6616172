// Package outage owns what the log is told of a failure that lasts: when it begins, now and then while it lasts, and
// when it is over, however often something is tried meanwhile.
//
// Whatever repeats itself has a Log for each thing that it repeats: the scheduler's chores, the worker's loops, the
// broker's connections. It decides nothing, repeats nothing, and knows no kind of failure.
package outage

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// interval is how often a failure that lasts is told.
const interval = 30 * time.Second

// Log tells of one thing that may fail again and again. It is safe for concurrent use.
type Log struct {
	log *slog.Logger

	mu       sync.Mutex
	began    time.Time  // of the outage; zero while there is none
	failures int        // since it was last told that it works
	untold   int        // of them since the last line
	told     time.Time  // when the last failure was; zero if none was
	level    slog.Level // of the last failure that was told
	open     bool       // a failure was told, and not yet that it is over
}

// New returns a Log of something that works.
func New(log *slog.Logger) *Log { return &Log{log: log} }

// Warn tells of a failure that mends itself, with key and value pairs as slog has them.
func (l *Log) Warn(message string, err error, args ...any) {
	l.fail(slog.LevelWarn, message, err, args)
}

// Error tells of a failure that somebody has to see to. It is told at once also while there are only warnings.
func (l *Log) Error(message string, err error, args ...any) {
	l.fail(slog.LevelError, message, err, args)
}

func (l *Log) fail(level slog.Level, message string, err error, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.began.IsZero() {
		l.begin(now)
	}
	l.failures++
	worse := l.open && level > l.level
	if !l.told.IsZero() && now.Sub(l.told) < interval && !worse {
		l.untold++
		return
	}
	args = append([]any{"error", err}, args...)
	if !l.told.IsZero() && (l.untold > 0 || l.open) {
		args = append(args, "repeated", l.untold+1, "since", span(l.began, now))
	}
	l.told, l.level, l.untold, l.open = now, level, 0, true
	l.log.Log(context.Background(), level, message, args...)
}

// begin begins an outage. One that comes soon after the last one goes on with its count: something works by turns.
func (l *Log) begin(now time.Time) {
	l.began = now
	if now.Sub(l.told) >= 2*interval {
		l.failures, l.untold, l.told = 0, 0, time.Time{}
	}
}

func span(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Millisecond) }

// Over tells that it works, if it was told that it does not, and returns whether it was.
func (l *Log) Over(message string, args ...any) (told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if told = l.open; told {
		l.log.Info(message, append(args, "failures", l.failures, "after", span(l.began, time.Now()))...)
		l.failures, l.open = 0, false
	}
	l.began = time.Time{}
	return told
}
