package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// profile is a server that somebody has logged in to, with the token that lets them in.
type profile struct {
	Server string `yaml:"server"`
	Token  string `yaml:"token"`
}

// profiles is the file that keeps them. It holds tokens, and is its owner's alone.
type profiles struct {
	Current string             `yaml:"current,omitempty"` // where commands go that name no server; "" is none
	All     map[string]profile `yaml:"profiles"`
}

// defaultProfile is what a profile is called that nobody has named.
const defaultProfile = "default"

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// profilesFile is where profiles are kept; "" if there is no home for them: a service may have none, and needs no profile.
func (a *app) profilesFile() string {
	// $XDG_CONFIG_HOME, by the XDG Base Directory Specification.
	if dir := a.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "attune", "profiles.yaml")
	}
	if home := a.getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "attune", "profiles.yaml")
	}
	return ""
}

func (a *app) readProfiles() (p profiles, err error) {
	p.All = map[string]profile{}
	path := a.profilesFile()
	if path == "" {
		return p, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if err := yaml.Load(text, &p, yaml.WithKnownFields()); err != nil {
		// The error would repeat what is there, which may be a token.
		return p, attune.Errorf(attune.CodeInvalid, "%s is no file of profiles: mend it, or remove it and log in again", path)
	}
	if p.All == nil {
		p.All = map[string]profile{}
	}
	return p, nil
}

// writeProfiles replaces the file in one step: a command that reads it meanwhile sees the old one, or the new one.
func (a *app) writeProfiles(p profiles) (err error) {
	path := a.profilesFile()
	if path == "" {
		return usage("there is no home directory to keep profiles in: set HOME, or use --server and --token-file")
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".profiles-*") // 0600
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// profile returns the one that a command is to use: that of --profile, else the current one, unless a data directory was
// named, whose own server is then meant.
func (a *app) profile() (p profile, ok bool, err error) {
	name := a.flags.profile
	if name == "" && a.flags.dataDir != "" {
		return p, false, nil
	}
	all, err := a.readProfiles()
	if err != nil {
		return p, false, err
	}
	if name == "" {
		name = all.Current
	}
	if name == "" {
		return p, false, nil
	}
	if p, ok = all.All[name]; !ok {
		return p, false, attune.Errorf(attune.CodeNotFound, "there is no profile %s: `attune profile list` shows what there is, `attune login URL --profile %s` makes it", name, name)
	}
	return p, true, nil
}

func (a *app) loginCommand() *cobra.Command {
	return &cobra.Command{
		Use: "login URL", Short: "Log in to a server, where commands go from then on", Args: exactArgs(1, "the URL of a server"),
		Long: `Log in to a server with a token (attune token create), which is read from --token-file or ATTUNE_TOKEN, else from a prompt or
standard input. From then on, commands that name no other server or data directory go there.

  attune login https://attune.example.com
  attune login https://staging.example.com --profile staging
  attune --profile staging execution list

Profiles are in ~/.config/attune/profiles.yaml, with their tokens: only its owner can read the file.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkServer("the URL", args[0]); err != nil {
				return err
			}
			if u, err := url.Parse(args[0]); err != nil || u.User != nil { // profiles are shown
				return usage("the URL: leave out the user and the password, a token is what lets in: write %s", nearestAddress(args[0]))
			}
			name := a.flags.profile
			if name == "" {
				name = defaultProfile
			}
			if !profileName.MatchString(name) {
				return usage("%q is no name of a profile: write letters, digits, and . _ - between them", name)
			}
			token, err := a.token()
			if err == nil && token == "" {
				token, err = a.askToken(cmd.Context())
			}
			if err != nil {
				return err
			}
			return a.login(cmd.Context(), name, profile{Server: args[0], Token: token})
		},
	}
}

func (a *app) askToken(ctx context.Context) (string, error) {
	text, err := a.readSecret(ctx, "the token", "")
	if err != nil {
		return "", err
	}
	return tokenFrom("what was read", string(text))
}

// login keeps a profile that the server lets in.
func (a *app) login(ctx context.Context, name string, p profile) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c := client.New(client.Config{BaseURL: p.Server, Token: p.Token})
	defer c.Close()
	caller, err := c.Caller(ctx)
	if err != nil {
		return err
	}
	all, err := a.readProfiles()
	if err != nil {
		return err
	}
	all.All[name], all.Current = p, name
	if err := a.writeProfiles(all); err != nil {
		return err
	}
	a.note("logged in to %s as %s, %s of %s (profile %s)", p.Server, caller.Name, caller.Role, packsText(caller.Packs), name)
	return nil
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget the current profile, or the one of --profile, with its token", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := a.readProfiles()
			if err != nil {
				return err
			}
			name := a.flags.profile
			if name == "" {
				name = all.Current
			}
			if _, ok := all.All[name]; !ok {
				return attune.Errorf(attune.CodeNotFound, "there is nothing to log out of: `attune profile list` shows what there is")
			}
			delete(all.All, name)
			if all.Current == name {
				all.Current = ""
			}
			if err := a.writeProfiles(all); err != nil {
				return err
			}
			a.note("logged out of profile %s; the token itself lets in until it is revoked", name)
			return nil
		},
	}
}

func (a *app) profileCommand() *cobra.Command {
	return group("profile", "Choose among the servers that you have logged in to", []string{"profiles"}, a.profileList(), a.profileUse())
}

// profileView is a profile without its token.
type profileView struct {
	Name    string `json:"name"`
	Server  string `json:"server"`
	Current bool   `json:"current"`
}

func (a *app) profileList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the profiles", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := a.readProfiles()
			if err != nil {
				return err
			}
			views := []profileView{}
			for _, name := range slices.Sorted(maps.Keys(all.All)) {
				views = append(views, profileView{name, all.All[name].Server, name == all.Current})
			}
			return a.show(pageOf(views, ""), func(w io.Writer) error {
				var rows [][]string
				for _, v := range views {
					mark := ""
					if v.Current {
						mark = "*"
					}
					rows = append(rows, []string{mark, v.Name, v.Server})
				}
				return table(w, []string{"", "NAME", "SERVER"}, rows)
			})
		},
	}
}

func (a *app) profileUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Have commands go to another server that you have logged in to", Args: exactArgs(1, "one profile's name"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			all, err := a.readProfiles()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return slices.Sorted(maps.Keys(all.All)), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.readProfiles()
			if err != nil {
				return err
			}
			if _, ok := all.All[args[0]]; !ok {
				return attune.Errorf(attune.CodeNotFound, "there is no profile %s: `attune profile list` shows what there is", args[0])
			}
			all.Current = args[0]
			if err := a.writeProfiles(all); err != nil {
				return err
			}
			a.note("commands go to %s", all.All[args[0]].Server)
			return nil
		},
	}
}
