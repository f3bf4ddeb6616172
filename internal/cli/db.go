package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune/internal/daemon"
)

// schemaState is what -o json prints of the database's schema.
type schemaState struct {
	Current int64 `json:"current"` // 0: there is none yet
	Needed  int64 `json:"needed"`  // by this program
}

func (a *app) dbCommand() *cobra.Command {
	return group("db", "Look after the database's schema", nil,
		&cobra.Command{
			Use: "migrate", Short: "Bring the schema to what this attune needs, as every server does when it starts", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.schema(cmd.Context(), true, func(w io.Writer, s schemaState) error {
					_, err := fmt.Fprintf(w, "the schema is version %d\n", s.Current)
					return err
				})
			},
		},
		&cobra.Command{
			Use: "status", Short: "Show the schema's version and the one that this attune needs", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.schema(cmd.Context(), false, func(w io.Writer, s schemaState) error {
					advice := "up to date"
					switch {
					case s.Current < s.Needed:
						advice = "`attune db migrate` brings it up to date"
					case s.Current > s.Needed:
						advice = "a newer attune has written it: use that one"
					}
					_, err := fmt.Fprintf(w, "the schema is version %d, this attune needs %d: %s\n", s.Current, s.Needed, advice)
					return err
				})
			},
		},
	)
}

func (a *app) schema(ctx context.Context, migrate bool, text func(io.Writer, schemaState) error) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if migrate {
		if err := daemon.Migrate(ctx, cfg, a.commandLogger()); err != nil {
			return err
		}
	}
	var state schemaState
	if state.Current, state.Needed, err = daemon.Schema(ctx, cfg, a.commandLogger()); err != nil {
		return err
	}
	return a.show(state, func(w io.Writer) error { return text(w, state) })
}
