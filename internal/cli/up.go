package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/daemon"
)

func (a *app) upCommand() *cobra.Command {
	return a.listening(&cobra.Command{
		Use: "up", Short: "Run the API, a scheduler and a worker here until stopped", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), service{name: "up", run: func(ctx context.Context, p *daemon.Parts, s surroundings) error {
				return p.Up(ctx, s.hurry, func(server daemon.Server) {
					s.log.Info("ready", "url", server.URL, "worker", s.cfg.Worker.Name,
						"slots", s.cfg.Worker.MaxConcurrentTasks, "data", s.cfg.DataDir)
					a.tellPages(server, s.cfg)
				})
			}})
		},
	})
}

// tellPages tells a person, who reads no log, where the pages are and how to get in.
func (a *app) tellPages(server daemon.Server, cfg *config.Config) {
	if isTerminal(a.Stderr) {
		a.note("open %s in a browser, and log in with the token in %s", server.URL, daemon.TokenFile(cfg.DataDir))
	}
}

// listening adds what commands have that listen.
func (a *app) listening(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.flags.behindProxy, "behind-proxy", false,
		"listen on any address without TLS, because a proxy before it brings that (server.behind_proxy)")
	return cmd
}

func (a *app) serverCommand() *cobra.Command {
	return a.listening(&cobra.Command{
		Use: "server", Short: "Run the API and a scheduler, on PostgreSQL and RabbitMQ, until stopped", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), service{name: "server", production: true, run: func(ctx context.Context, p *daemon.Parts, s surroundings) error {
				return p.Server(ctx, func(server daemon.Server) {
					s.log.Info("ready", "url", server.URL, "data", s.cfg.DataDir)
					a.tellPages(server, s.cfg)
				})
			}})
		},
	})
}

// runWorker is `attune worker` as a service.
func (a *app) runWorker(ctx context.Context) error {
	return a.serve(ctx, service{name: "worker", production: true, run: func(ctx context.Context, p *daemon.Parts, s surroundings) error {
		return p.Worker(ctx, s.hurry, func(id int64) {
			s.log.Info("ready", "worker", s.cfg.Worker.Name, "id", id, "slots", s.cfg.Worker.MaxConcurrentTasks, "data", s.cfg.DataDir)
		})
	}})
}

// service is a long-running process.
type service struct {
	name       string
	production bool // it needs PostgreSQL and RabbitMQ; else it is of the embedded shape
	run        func(context.Context, *daemon.Parts, surroundings) error
}

// surroundings are what a service runs in.
type surroundings struct {
	cfg   *config.Config
	log   *slog.Logger
	hurry <-chan struct{} // closed by the second signal
}

// serve runs a service until a signal ends it.
func (a *app) serve(ctx context.Context, s service) (err error) {
	if a.flags.server != "" {
		return usage("--server names a server that runs: `attune %s` starts one here, leave it out", s.name)
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	switch {
	case s.production && !cfg.Production():
		return usage("`attune %s` needs PostgreSQL and RabbitMQ: set database.url and message_queue.url, "+
			"or use `attune up`, which needs neither", s.name)
	case !s.production && cfg.Production():
		return usage("`attune %s` is for the embedded shape: with PostgreSQL and RabbitMQ, run `attune server` and `attune worker`", s.name)
	}
	log, err := a.serverLogger(cfg)
	if err != nil {
		return err
	}
	var opened atomic.Pointer[daemon.Parts]
	ctx, hurry, release := a.twoSignals(ctx, func() string { return ending(opened.Load(), cfg.Worker.ShutdownTimeout) })
	defer release()
	parts, err := daemon.OpenPatiently(ctx, cfg, a.version(), log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end before the database came
		}
		return err
	}
	opened.Store(parts)
	defer func() { err = errors.Join(err, parts.Close()) }()
	return s.run(ctx, parts, surroundings{cfg, log, hurry})
}

// ending says what a service that is told to end waits for: parts are nil if there was no database yet.
func ending(parts *daemon.Parts, shutdown time.Duration) string {
	running := 0
	if parts != nil {
		running = parts.Running()
	}
	switch running {
	case 0:
		return "ending"
	case 1:
		return fmt.Sprintf("waiting up to %s for 1 execution that runs; once more to end it at once", shutdown)
	}
	return fmt.Sprintf("waiting up to %s for %d executions that run; once more to end them at once", shutdown, running)
}

// twoSignals returns a context that the first signal ends, after it was told what ending says, and a channel that the
// second one closes.
func (a *app) twoSignals(
	ctx context.Context, ending func() string,
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
					a.note("%s: %s", sig, ending())
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
				return a.show(map[string]bool{"valid": true}, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, "the configuration is valid")
					return err
				})
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
