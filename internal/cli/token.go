package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Say who may do what", []string{"tokens"}, a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

func (a *app) tokenCreate() *cobra.Command {
	var role, expires string
	request := client.TokenRequest{}
	cmd := &cobra.Command{
		Use: "create", Short: "Create a token, and print it this once", Args: noArgs,
		Long: `Create a token for a person or a program, and print its id and the token, which is kept nowhere.

  attune token create --role operator --pack web --expires 30d --name "deploys of web"

  viewer     reads: executions with their output, actions, packs, workers, names of keys
  operator   also runs actions, and cancels
  admin      also changes packs, keys, workers and tokens, deletes, and reveals

With --pack the token reaches nothing but these packs: their actions, executions and keys. Programs hand a token over in
ATTUNE_TOKEN, or in a file that --token-file names.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			// What a script leaves empty must not become a token for everything, or for ever.
			if cmd.Flags().Changed("pack") && !slices.ContainsFunc(request.Packs, func(p string) bool { return p != "" }) {
				return usage("--pack is empty: name a pack, or leave it out for a token that reaches all")
			}
			if cmd.Flags().Changed("expires") && expires == "" {
				return usage("--expires is empty: write 30d, 12h or 90m, or leave it out for a token that lasts")
			}
			if request.Role = attune.Role(role); !slices.Contains(attune.Roles(), request.Role) {
				return usage("--role %q: write viewer, operator or admin", role)
			}
			if request.Expires, err = lifetime(expires); err != nil {
				return usage("--expires: %v", err)
			}
			if request.Name == "" {
				request.Name = role
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				t, err := c.CreateToken(ctx, request)
				if err != nil {
					return err
				}
				return a.show(t, func(w io.Writer) error {
					return fields(w, "id", strconv.FormatInt(t.ID, 10), "token", t.Secret, "role", string(t.Role),
						"packs", packsText(t.Packs), "expires", expiryText(t.ExpiresAt))
				})
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	completes(cmd, "role", "viewer", "operator", "admin")
	cmd.Flags().StringSliceVar(&request.Packs, "pack", nil, "only for this pack; may be given several times")
	cmd.Flags().StringVar(&expires, "expires", "", "let nobody in after so long, as 30d or 12h (default: never)")
	cmd.Flags().StringVar(&request.Name, "name", "", "what it is for (default: the role)")
	return cmd
}

// lifetime reads days, or what is a duration elsewhere.
func lifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wrong := fmt.Errorf("%q is not a time: write 30d, 12h or 90m", text)
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, wrong // of what?
	}
	var d time.Duration
	if number, inDays := strings.CutSuffix(text, "d"); inDays {
		days, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(days) || days > 36500 {
			return 0, wrong
		}
		d = time.Duration(days * float64(24*time.Hour))
	} else {
		var err error
		if d, err = config.ParseDuration(text); err != nil {
			return 0, wrong
		}
	}
	if d < time.Second {
		return 0, wrong
	}
	return d, nil
}

func packsText(packs []string) string {
	if len(packs) == 0 {
		return "all"
	}
	return strings.Join(packs, ", ")
}

func expiryText(at *time.Time) string {
	if at == nil {
		return "never"
	}
	if at.Before(time.Now()) {
		return "expired " + stamp(at)
	}
	return stamp(at)
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their secret parts", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				tokens, err := c.Tokens(ctx)
				if err != nil {
					return err
				}
				return a.show(pageOf(tokens, ""), func(w io.Writer) error {
					var rows [][]string
					for _, t := range tokens {
						used := "never"
						if t.LastUsedAt != nil {
							used = ago(*t.LastUsedAt)
						}
						rows = append(rows, []string{
							strconv.FormatInt(t.ID, 10), t.Name, string(t.Role), packsText(t.Packs), expiryText(t.ExpiresAt), used, t.CreatedBy,
						})
					}
					return table(w, []string{"ID", "NAME", "ROLE", "PACKS", "EXPIRES", "USED", "CREATED BY"}, rows)
				})
			})
		},
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke a token: it lets nobody in any more", Args: exactArgs(1, "one token's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 1 {
				return usage("%q is not a token's id: `attune token list` shows them", args[0])
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				if err := c.RevokeToken(ctx, id); err != nil {
					return err
				}
				a.note("token %d revoked", id)
				return nil
			})
		},
	}
}

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read the audit log", nil, a.auditList())
}

func (a *app) auditList() *cobra.Command {
	var limit int
	var cursor string
	cmd := &cobra.Command{
		Use: "list", Short: "List who ran, cancelled, changed or revealed what, the newest first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > maxListed {
				return usage("--limit %d: write a number from 1 to %d, and go on with --cursor", limit, maxListed)
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				page, err := c.Audit(ctx, limit, cursor)
				if err != nil {
					return err
				}
				return a.show(pageOf(page.Items, page.NextCursor), func(w io.Writer) error {
					var rows [][]string
					for _, e := range page.Items {
						rows = append(rows, []string{stamp(&e.At), e.Actor, e.Event, e.Subject})
					}
					return table(w, []string{"AT", "WHO", "WHAT", "TO"}, rows)
				})
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many")
	cmd.Flags().StringVar(&cursor, "cursor", "", "next_cursor of the list before")
	return cmd
}
