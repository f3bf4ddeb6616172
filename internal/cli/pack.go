package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
)

func (a *app) packCommand() *cobra.Command {
	return group("pack", "Install, check and write packs", []string{"packs"},
		a.packInstall(), a.packValidate(), a.packList(), a.packShow(), a.packRemove(), a.packNew())
}

func (a *app) packInstall() *cobra.Command {
	return &cobra.Command{
		Use: "install DIR", Short: "Install a pack, or its next version", Args: exactArgs(1, "the pack's directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			read, archive, err := readPack(args[0], true)
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				upload := a.progress(bytes.NewReader(archive), len(archive), "uploading")
				installed, err := c.InstallPack(ctx, upload)
				upload.end()
				if err != nil {
					return err
				}
				a.warn(read.Warnings)
				return a.show(installed, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "pack %s %s installed, with %s\n", read.Ref, read.Version, actions(len(read.Actions)))
					return err
				})
			})
		},
	}
}

// readPack checks a directory where it is, so that errors name the user's own files.
func readPack(dir string, archived bool) (*pack.Pack, []byte, error) {
	root, err := pack.OpenDir(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = root.Close() }() // read only
	read, err := pack.Read(root.FS())
	if err != nil || !archived {
		return read, nil, err
	}
	archive, _, err := pack.Archive(root.FS())
	return read, archive, err
}

func (a *app) warn(warnings []attune.Detail) {
	for _, warning := range warnings {
		a.note("warning: %s", warning)
	}
}

func (a *app) packValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate DIR", Short: "Check a pack without installing it", Args: exactArgs(1, "the pack's directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			read, _, err := readPack(args[0], false)
			if err != nil {
				return err
			}
			a.warn(read.Warnings)
			return a.show(read.Pack, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "pack %s %s is valid, with %s\n", read.Ref, read.Version, actions(len(read.Actions)))
				return err
			})
		},
	}
}

func actions(n int) string {
	if n == 1 {
		return "1 action"
	}
	return fmt.Sprintf("%d actions", n)
}

func (a *app) packList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the installed packs", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				packs, err := c.Packs(ctx)
				if err != nil {
					return err
				}
				return a.show(pageOf(packs, ""), func(w io.Writer) error {
					var rows [][]string
					for _, p := range packs {
						rows = append(rows, []string{p.Ref, p.Version, p.Label})
					}
					return table(w, []string{"REF", "VERSION", "LABEL"}, rows)
				})
			})
		},
	}
}

func (a *app) packShow() *cobra.Command {
	return &cobra.Command{
		Use: "show REF", Short: "Show one pack and its actions", Args: exactArgs(1, "one pack's ref"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				p, err := c.Pack(ctx, args[0])
				if err != nil {
					return err
				}
				actions, err := c.Actions(ctx, p.Ref)
				if err != nil {
					return err
				}
				return a.show(p, func(w io.Writer) error {
					err := fields(w, "ref", p.Ref, "version", p.Version, "label", p.Label, "description", p.Description,
						"author", p.Author, "tags", strings.Join(p.Tags, " "), "installed", stamp(&p.InstalledAt), "digest", p.Digest)
					if err != nil {
						return err
					}
					return actionTable(w, actions)
				})
			})
		},
	}
}

func (a *app) packRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove REF", Short: "Remove a pack; what was submitted with it still runs", Args: exactArgs(1, "one pack's ref"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				if err := c.RemovePack(ctx, args[0]); err != nil {
					return err
				}
				a.note("pack %s removed", args[0])
				return nil
			})
		},
	}
}

func (a *app) packNew() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "new REF", Short: "Write a pack that installs and runs as it is", Args: exactArgs(1, "the new pack's ref"),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				dir = args[0]
			}
			if err := pack.New(dir, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.Stdout, "%s written. Next:\n  attune pack install %s\n  attune action list --pack %s\n", dir, dir, args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where to write it (default: a directory named as the pack)")
	return cmd
}

func (a *app) actionCommand() *cobra.Command {
	return group("action", "Show what can be run", []string{"actions"}, a.actionList(), a.actionShow())
}

func (a *app) actionList() *cobra.Command {
	var ref string
	cmd := &cobra.Command{
		Use: "list", Short: "List the installed actions", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				actions, err := c.Actions(ctx, ref)
				if err != nil {
					return err
				}
				return a.show(pageOf(actions, ""), func(w io.Writer) error { return actionTable(w, actions) })
			})
		},
	}
	cmd.Flags().StringVar(&ref, "pack", "", "only of this pack")
	return cmd
}

func actionTable(w io.Writer, actions []attune.Action) error {
	var rows [][]string
	for _, action := range actions {
		rows = append(rows, []string{string(action.Ref), action.Runtime, action.Description})
	}
	return table(w, []string{"REF", "RUNTIME", "DESCRIPTION"}, rows)
}

func (a *app) actionShow() *cobra.Command {
	return &cobra.Command{
		Use: "show REF", Short: "Show one action and its parameters", Args: exactArgs(1, "one action's ref"),
		ValidArgsFunction: a.completeAction,
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := attune.ParseRef(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				action, err := c.Action(ctx, ref)
				if err != nil {
					return err
				}
				return a.show(action, func(w io.Writer) error { return actionText(w, action) })
			})
		},
	}
}
