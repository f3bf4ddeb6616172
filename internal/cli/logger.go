package cli

import (
	"log/slog"

	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/telemetry"
)

// commandLogger is for commands, whose own words are enough unless something is wrong.
func (a *app) commandLogger() *slog.Logger {
	level := slog.LevelError
	if a.flags.verbose {
		level = slog.LevelDebug
	}
	return telemetry.NewLogger(a.Stderr, level, false)
}

// serverLogger is for long-running processes, as log.level and log.format say.
func (a *app) serverLogger(cfg *config.Config) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return nil, err
	}
	if a.flags.verbose {
		level = slog.LevelDebug
	}
	return telemetry.NewLogger(a.Stderr, level, cfg.Log.Format == "json" || cfg.Log.Format == "auto" && !isTerminal(a.Stderr)), nil
}
