// Package cli owns the commands: their words, flags and exit statuses, and how answers are shown.
//
// Every command but those that concern this process alone (up, server, worker as a service, db, config, version,
// completion, pack new and validate) is a call of the API through package client: over the network if a server is named or found,
// else to the same handler inside the command's own process. The package stores nothing and decides nothing that a
// curl of the API would not.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune/internal/config"
)

// Process is what a command gets from its process.
type Process struct {
	Args    []string
	Environ []string
	Version string // "" for a build without one
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// app is one run of a command.
type app struct {
	Process
	flags  globals
	config *config.Config // what loadConfig has read; nil before
	output *output        // what Stdout is, with the error that ended it
}

// globals are the flags that every command takes.
type globals struct {
	config     string
	dataDir    string
	server     string
	profile    string
	tokenFile  string
	output     string
	workerName string // of `attune worker`

	behindProxy bool // of `attune up` and `attune server`
	quiet       bool
	verbose     bool
}

// Main runs one command and returns its exit status.
func Main(p Process) int {
	defer survivePipes()()
	a := &app{Process: p, output: &output{w: p.Stdout}}
	a.Stdout = a.output
	root := a.root()
	root.SetArgs(p.Args)
	err := root.ExecuteContext(context.Background())
	return a.exit(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "attune",
		Short: "Runs automation actions, and keeps what came of them",
		Long: `Attune runs automation actions: scripts with parameters, timeouts and results, bundled in packs.

  attune run core.echo message=hello     run an action and follow it to its end
  attune run ./greet.py name=Ada         run a script that is in no pack
  attune up                              keep a server and a worker running here`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	a.globalFlags(root)
	root.AddCommand(
		a.runCommand(), a.upCommand(), a.serverCommand(), a.executionCommand(), a.packCommand(), a.actionCommand(), a.keyCommand(), a.workerCommand(), a.tokenCommand(), a.auditCommand(), a.loginCommand(), a.logoutCommand(), a.profileCommand(),
		a.dbCommand(), a.configCommand(), a.benchCommand(), a.doctorCommand(), a.versionCommand(), completionCommand(),
	)
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	// Their defaults come from the environment, whose values are no part of a help text.
	hide := func(name string) { flags.Lookup(name).DefValue = "" }
	flags.StringVar(&a.flags.config, "config", a.getenv("ATTUNE_CONFIG"), "configuration file")
	flags.StringVar(&a.flags.dataDir, "data-dir", a.getenv("ATTUNE_DATA_DIR"), "data directory (default ~/.local/state/attune)")
	flags.StringVar(&a.flags.server, "server", a.getenv("ATTUNE_SERVER"), "URL of a server")
	flags.StringVar(&a.flags.profile, "profile", a.getenv("ATTUNE_PROFILE"), "a server that you have logged in to (attune login)")
	flags.StringVar(&a.flags.tokenFile, "token-file", "", "file that holds the token (or set ATTUNE_TOKEN)")
	flags.StringVarP(&a.flags.output, "output", "o", "text", "text, json or yaml")
	flags.BoolVarP(&a.flags.quiet, "quiet", "q", false, "say nothing but the output")
	flags.BoolVarP(&a.flags.verbose, "verbose", "v", false, "log what happens to stderr")
	hide("config")
	hide("data-dir")
	hide("server")
	hide("profile")
	outputs := []string{"text", "json", "yaml"}
	completes(root, "output", outputs...)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains(outputs, a.flags.output) {
			return usage("-o %s: write text, json or yaml", a.flags.output)
		}
		return a.oneTarget(cmd.Flags().Changed)
	}
}

// oneTarget refuses flags that name two servers. One that is given wins against what the environment names.
func (a *app) oneTarget(given func(flag string) bool) error {
	switch {
	case given("profile") && given("server"):
		return usage("--profile and --server name two servers: give one of them")
	case given("profile") && given("data-dir"):
		return usage("--profile and --data-dir name two servers: give one of them")
	case given("profile"):
		a.flags.server = ""
	case given("server"):
		a.flags.profile = ""
	}
	return nil
}

// completes has a shell complete a flag with its values, instead of the names of files.
func completes(cmd *cobra.Command, flag string, values ...string) {
	completesFrom(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completesFrom has a shell complete a flag with what is found.
func completesFrom(cmd *cobra.Command, flag string, find cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, find); err != nil {
		panic(err) // there is no such flag
	}
}

func (a *app) getenv(name string) string {
	for _, variable := range a.Environ {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// untilSignal returns a context that SIGINT, SIGTERM and SIGHUP end.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.show(map[string]string{"version": a.version()}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "attune", a.version())
				return err
			})
		},
	}
}

// version is the build's, else the commit's that Go noted, else devel.
func (a *app) version() string {
	if a.Version != "" {
		return a.Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print a script that completes commands in a shell",
		ValidArgs: shells, Args: exactArgs(1, "the shell: bash, zsh or fish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return usage("there is no completion for %q: name bash, zsh or fish", args[0])
		},
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("`%s` takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("`%s` needs %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// group makes a command that only holds others.
func group(use, short string, aliases []string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Aliases: aliases, Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(commands...)
	return g
}
