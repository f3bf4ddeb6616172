package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune/internal/daemon"
)

func (a *app) upCommand() *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Run the API, a scheduler and a worker here until stopped", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.up(cmd.Context()) },
	}
}

func (a *app) up(ctx context.Context) (err error) {
	if a.flags.server != "" {
		return usage("--server names a server that runs: `attune up` starts one here, leave it out")
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	log, err := a.serverLogger(cfg)
	if err != nil {
		return err
	}
	parts, err := daemon.Open(ctx, cfg, a.version(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	ctx, hurry, release := a.twoSignals(ctx, cfg.Worker.ShutdownTimeout)
	defer release()
	return parts.Up(ctx, hurry, func(s daemon.Server) {
		log.Info("ready", "url", s.URL, "worker", cfg.Worker.Name, "slots", cfg.Worker.MaxConcurrentTasks, "data", cfg.DataDir)
	})
}

// twoSignals returns a context that the first signal ends, and a channel that the second one closes.
func (a *app) twoSignals(
	ctx context.Context, shutdown time.Duration,
) (ended context.Context, hurry <-chan struct{}, release func()) {
	signals, stopSignals := notifyInterrupts()
	ended, end := context.WithCancelCause(ctx)
	second := make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case sig, ok := <-signals:
				if !ok {
					return
				}
				switch n {
				case 1:
					a.note("%s: waiting up to %s for what runs; once more to end it at once", sig, shutdown)
					end(fmt.Errorf("%s", sig))
				case 2:
					close(second)
				}
			}
		}
	}()
	return ended, second, func() { stopSignals(); end(nil) }
}

func (a *app) configCommand() *cobra.Command {
	return group("config", "Show and check the settings", nil,
		&cobra.Command{
			Use: "show", Short: "Print every setting in force and what set it", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := a.loadConfig()
				if err != nil {
					return err
				}
				return a.show(pageOf(cfg.Settings(), ""), cfg.Write)
			},
		},
		&cobra.Command{
			Use: "validate", Short: "Check the settings", Args: noArgs,
			RunE: func(*cobra.Command, []string) error {
				if a.flags.config == "" && !a.setsKeys() {
					return usage("nothing to check: name a file with --config")
				}
				if _, err := a.loadConfig(); err != nil {
					return err
				}
				_, err := fmt.Fprintln(a.Stdout, "the configuration is valid")
				return err
			},
		},
	)
}

// setsKeys tells whether the environment sets any key.
func (a *app) setsKeys() bool {
	for _, variable := range a.Environ {
		if len(variable) > 8 && variable[:8] == "ATTUNE__" {
			return true
		}
	}
	return false
}
