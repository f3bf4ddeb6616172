package cli

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/attune-automation/attune/internal/pack"
)

// unknownCommand refuses a word that names no command below cmd, and offers the nearest one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(append(known, c.Name()), c.Aliases...)
		}
	}
	if near, ok := pack.Nearest(args[0], known); ok {
		return usage("`%s` has no command %q: did you mean `%s %s`?", cmd.CommandPath(), args[0], cmd.CommandPath(), near)
	}
	return usage("`%s` has no command %q: `%s --help` lists them", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// flagError says in our words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	value, unknown := (*pflag.InvalidValueError)(nil), (*pflag.NotExistError)(nil)
	switch {
	case errors.As(err, &value):
		kinds := map[string]string{"int": "a whole number", "float64": "a number", "bool": "true or false"}
		if kind, ok := kinds[value.GetFlag().Value.Type()]; ok {
			return usage("--%s %s: write %s", value.GetFlag().Name, value.GetValue(), kind)
		}
	case errors.As(err, &unknown):
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near, ok := pack.Nearest(unknown.GetSpecifiedName(), known); ok && len(unknown.GetSpecifiedName()) > 1 {
			return usage("%v: did you mean --%s?", err, near)
		}
		return usage("%v: `%s --help` lists them", err, cmd.CommandPath())
	}
	return usage("%v", err)
}
