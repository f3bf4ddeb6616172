package outage_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/attune-automation/attune/internal/outage"
)

// journal returns a log without times, and a function that takes the lines written since it was called last.
func journal() (log *slog.Logger, lines func() []string) {
	var text bytes.Buffer
	log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return log, func() []string {
		defer text.Reset()
		return strings.FieldsFunc(text.String(), func(r rune) bool { return r == '\n' })
	}
}

var errAway = errors.New("away")

func TestLongOutageIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, lines := journal()
		placing := outage.New(log)
		for range 100 { // seconds
			placing.Warn("placing failed", errAway, "chore", "assign")
			time.Sleep(time.Second) //nolint:forbidigo // of synctest's clock
		}
		want := []string{
			`level=WARN msg="placing failed" error=away chore=assign`,
			`level=WARN msg="placing failed" error=away chore=assign repeated=30 since=30s`,
			`level=WARN msg="placing failed" error=away chore=assign repeated=30 since=1m0s`,
			`level=WARN msg="placing failed" error=away chore=assign repeated=30 since=1m30s`,
		}
		check(t, lines(), want...)
		placing.Over("placing works again", "chore", "assign")
		placing.Over("placing works again", "chore", "assign")
		check(t, lines(), `level=INFO msg="placing works again" chore=assign failures=100 after=1m40s`)
	})
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatNeverFailedIsNotOver(t *testing.T) {
	t.Parallel()
	log, lines := journal()
	outage.New(log).Over("works again")
	check(t, lines())
}

// What fails and works by turns is told no more often than what only fails.
func TestFlappingIsDamped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, lines := journal()
		placing := outage.New(log)
		for range 31 {
			placing.Error("placing failed", errAway)
			placing.Over("placing works again")
			time.Sleep(time.Second) //nolint:forbidigo // of synctest's clock
		}
		check(t, lines(),
			`level=ERROR msg="placing failed" error=away`, `level=INFO msg="placing works again" failures=1 after=0s`,
			`level=ERROR msg="placing failed" error=away repeated=30 since=0s`,
			`level=INFO msg="placing works again" failures=30 after=0s`)
	})
}

func TestNextOutageHasItsOwnCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, lines := journal()
		placing := outage.New(log)
		for range 2 {
			placing.Warn("failed", errAway)
			placing.Over("works")
			placing.Warn("failed", errAway) // too soon to be told
			placing.Over("works")
			check(t, lines(), `level=WARN msg=failed error=away`, `level=INFO msg=works failures=1 after=0s`)
			time.Sleep(time.Hour) //nolint:forbidigo // of synctest's clock
		}
	})
}

func TestWorseIsToldAtOnce(t *testing.T) {
	t.Parallel()
	log, lines := journal()
	connecting := outage.New(log)
	connecting.Warn("no connection", errAway)
	connecting.Error("refused", errors.New("not you"))
	connecting.Error("refused", errors.New("not you"))
	connecting.Warn("no connection", errAway)
	check(t, lines(), `level=WARN msg="no connection" error=away`, `level=ERROR msg=refused error="not you" repeated=1 since=0s`)
}
