package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/daemon"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look what a worker can do on this host, and say why not", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			found, err := daemon.Doctor(cmd.Context(), cfg, a.commandLogger())
			if err != nil {
				return err
			}
			err = a.show(pageOf(found, ""), func(w io.Writer) error {
				var rows [][]string
				for _, each := range found {
					rows = append(rows, []string{each.Check, yesNo(each.OK), each.Detail})
				}
				return table(w, []string{"CHECK", "OK", "DETAIL"}, rows)
			})
			if err != nil {
				return err
			}
			for _, each := range found {
				if each.Check == "isolation "+string(cfg.Worker.Isolation) && !each.OK {
					return attune.Errorf(attune.CodeInvalid, "worker.isolation %s is not possible here", cfg.Worker.Isolation)
				}
			}
			return nil
		},
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
