package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Keep the secrets that actions are given", []string{"keys"},
		a.keySet(), a.keyGet(), a.keyList(), a.keyDelete(), a.keyRotate(), a.keyGenerate())
}

// keyOwner is the flags that say whose a key is.
type keyOwner struct {
	pack, action string
	given        func(flag string) bool
}

func (o *keyOwner) flags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&o.pack, "pack", "", "a key of this pack's actions (default: of all actions)")
	cmd.Flags().StringVar(&o.action, "action", "", "a key of this action alone")
	o.given = cmd.Flags().Changed
	return cmd
}

func (o *keyOwner) id(name string) (attune.KeyID, error) {
	id := attune.KeyID{Owner: attune.OwnerSystem, Name: name}
	switch {
	case o.pack == "" && o.given("pack"), o.action == "" && o.given("action"): // as a script leaves it: not meant for all
		return id, usage("--pack or --action is empty: leave both out for a key of the system, which all actions may have")
	case o.pack != "" && o.action != "":
		return id, usage("give --pack or --action, not both")
	case o.pack != "":
		id.Owner, id.Of = attune.OwnerPack, o.pack
	case o.action != "":
		id.Owner, id.Of = attune.OwnerAction, o.action
	}
	return id, attune.CheckKeyName(name)
}

// forKey is a command about one key.
func (a *app) forKey(use, short string, do func(context.Context, *connection, attune.KeyID) error) *cobra.Command {
	var owner keyOwner
	return owner.flags(&cobra.Command{
		Use: use + " NAME", Short: short, Args: exactArgs(1, "one key's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := owner.id(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error { return do(ctx, c, id) })
		},
	})
}

func (a *app) keySet() *cobra.Command {
	var owner keyOwner
	var file string
	var unmaskable bool
	cmd := owner.flags(&cobra.Command{
		Use: "set NAME", Short: "Store a key, or its next value, from standard input, a file or a prompt",
		Long: `Store a key, or its next value. It is read from standard input (or a prompt, if that is a terminal) or from a file, and never
from the command line, which others on the host can see.

  attune key set api_key <api_key.txt
  attune key set api_key --pack web --file api_key.txt

The line break at the end of a value of one line is taken for the input's and left out; values of several lines stay as
they are.`,
		Args: exactArgs(1, "one key's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := owner.id(args[0])
			if err != nil {
				return err
			}
			value, err := a.readSecret(cmd.Context(), id.Name, file)
			if err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				k, err := c.SetKey(ctx, id, value, unmaskable)
				if err != nil {
					return err
				}
				a.warnOfOwner(ctx, c, id)
				return a.show(k, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "key %s set, %s\n", k.KeyID, bytesText(int64(k.Bytes)))
					return err
				})
			})
		},
	})
	cmd.Flags().StringVar(&file, "file", "", "read the value from this file, - for standard input")
	cmd.Flags().BoolVar(&unmaskable, "unmaskable", false,
		fmt.Sprintf("take a value of less than %d bytes, which can't be masked in what actions write", attune.MinMaskedBytes))
	return cmd
}

// warnOfOwner tells of a key that nothing will be given: its owner may be misspelt, or may come later.
func (a *app) warnOfOwner(ctx context.Context, c *connection, id attune.KeyID) {
	var err error
	switch id.Owner {
	case attune.OwnerPack:
		_, err = c.Pack(ctx, id.Of)
	case attune.OwnerAction:
		_, err = c.Action(ctx, attune.Ref(id.Of))
	case attune.OwnerSystem:
	}
	if attune.ErrorCode(err) == attune.CodeNotFound {
		a.note("warning: the %s %s is not installed", id.Owner, id.Of)
	}
}

func (a *app) readSecret(ctx context.Context, name, file string) ([]byte, error) {
	if file == "" || file == "-" {
		if terminal, ok := a.Stdin.(*os.File); ok && isTerminal(terminal) {
			a.note("value of %s (not shown):", name)
			return readUnseen(ctx, terminal)
		}
		file = "-"
	}
	value, err := a.readInput(ctx, "value of "+name, file)
	return withoutLineBreak(value), err
}

// readUnseen reads a line from a terminal that does not show it. When ctx or a signal ends that, the terminal is as it was.
func readUnseen(ctx context.Context, terminal *os.File) ([]byte, error) {
	ctx, stop := untilSignal(ctx)
	defer stop()
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() { // until there is a line, or the process ends
		text, err := term.ReadPassword(fd)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}

// withoutLineBreak leaves out the line break that ends a single line, as echo and editors write it.
func withoutLineBreak(value []byte) []byte {
	line := bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	if bytes.ContainsAny(line, "\r\n") {
		return value
	}
	return line
}

func (a *app) keyGet() *cobra.Command {
	var reveal bool
	cmd := a.forKey("get", "Show what may be known of a key, or its value", func(ctx context.Context, c *connection, id attune.KeyID) error {
		if reveal {
			value, err := c.RevealKey(ctx, id)
			if err != nil {
				return err
			}
			return a.showSecret(value)
		}
		k, err := c.Key(ctx, id)
		if err != nil {
			return err
		}
		return a.show(k, func(w io.Writer) error {
			return fields(w, "name", k.Name, "owner", ownerText(k.KeyID), "value", attune.Mask, "size", bytesText(int64(k.Bytes)),
				"master key", k.MasterKey, "created", stamp(&k.CreatedAt), "changed", stamp(&k.UpdatedAt))
		})
	})
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print the value; the audit log keeps that you have seen it")
	return cmd
}

// revealed is a value as JSON and YAML hold it.
type revealed struct {
	Value    string `json:"value"`
	Encoding string `json:"encoding,omitempty"` // base64 for what is no UTF-8
}

// showSecret prints a value as it is, so that it can be piped.
func (a *app) showSecret(value []byte) error {
	if a.flags.output != "text" {
		if !utf8.Valid(value) {
			return a.show(revealed{base64.StdEncoding.EncodeToString(value), "base64"}, nil)
		}
		return a.show(revealed{Value: string(value)}, nil)
	}
	_, err := a.Stdout.Write(value)
	return err
}

func ownerText(id attune.KeyID) string {
	if id.Owner == attune.OwnerSystem {
		return string(id.Owner)
	}
	return string(id.Owner) + " " + id.Of
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys, without their values", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				keys, err := c.Keys(ctx)
				if err != nil {
					return err
				}
				return a.show(pageOf(keys, ""), func(w io.Writer) error {
					var rows [][]string
					for _, k := range keys {
						rows = append(rows, []string{k.Name, ownerText(k.KeyID), bytesText(int64(k.Bytes)), ago(k.UpdatedAt), k.MasterKey})
					}
					return table(w, []string{"NAME", "OWNER", "SIZE", "CHANGED", "MASTER KEY"}, rows)
				})
			})
		},
	}
}

func (a *app) keyDelete() *cobra.Command {
	return a.forKey("delete", "Delete a key", func(ctx context.Context, c *connection, id attune.KeyID) error {
		if err := c.DeleteKey(ctx, id); err != nil {
			return err
		}
		a.note("key %s deleted", id)
		return nil
	})
}

func (a *app) keyRotate() *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Encrypt all keys under the newest master key", Args: noArgs,
		Long: `Encrypt all keys, and the secret parameters of all executions, under the newest master key, while everything runs.

With the embedded database a new master key is made first. With PostgreSQL, put a new one (attune key generate) at the end of
the key file of every server and worker, then first in those of the servers, and rotate.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				r, err := c.RotateKeys(ctx)
				if err != nil {
					return err
				}
				err = a.show(r, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "everything that can be decrypted is under master key %s: %d rewrapped\n", r.MasterKey, r.Rewrapped)
					return err
				})
				if err != nil || len(r.Failed) == 0 {
					return err
				}
				fault := &attune.Error{Code: attune.CodeConflict, Message: "some of it can't be decrypted, and stays as it is"}
				for _, failed := range r.Failed {
					fault.Details = append(fault.Details, attune.Detail{Message: failed})
				}
				return fault
			})
		},
	}
}

func (a *app) keyGenerate() *cobra.Command {
	return &cobra.Command{
		Use: "generate [FILE]", Short: "Make a master key, for a key file", Args: cobra.MaximumNArgs(1),
		Long: `Make a master key and print it as a line of a key file, or write it to a file that is not there yet, which only its owner can
read. security.encryption_key_file names the file to servers and workers.`,
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := secret.NewMasterKey()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				_, err := a.Stdout.Write(key.Text())
				return err
			}
			file, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return attune.Errorf(attune.CodeConflict, "%s is there already: a key in it may be in use", args[0])
			}
			if err != nil {
				return err
			}
			_, err = file.Write(key.Text())
			if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
				return errors.Join(err, os.Remove(args[0])) // half a key is none
			}
			return nil
		},
	}
}
