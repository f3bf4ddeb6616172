// Package telemetry owns what a process tells of itself to those who run it: the form of its log, and its metrics.
//
// The commands make a logger and hand it down; packages log what they do through it and know neither its form nor where
// it goes. The daemon connects the hooks of packages to Metrics, which counts what they tell and looks at the rest when
// somebody asks. Nobody else knows of Prometheus.
package telemetry

import (
	"io"
	"log/slog"
	"strings"
	"time"
)

// NewLogger returns the one form of log that all processes write, as JSON or as text: a duration reads 1m30s, not as a
// number of nanoseconds, and an error is one line.
func NewLogger(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func readable(_ []string, a slog.Attr) slog.Attr {
	switch value := a.Value.Any().(type) {
	case time.Duration:
		a.Value = slog.StringValue(value.String())
	case error:
		a.Value = slog.StringValue(oneLine(value.Error()))
	}
	return a
}

// oneLine joins the lines of a text: drivers list the addresses that they tried.
func oneLine(text string) string {
	var joined strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		switch before := joined.String(); {
		case strings.HasSuffix(before, ":"):
			joined.WriteByte(' ')
		case before != "":
			joined.WriteString("; ")
		}
		joined.WriteString(line)
	}
	return joined.String()
}
