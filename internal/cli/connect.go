package cli

import (
	"context"
	"errors"
	"os"

	"golang.org/x/term"

	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/daemon"
)

// connection is where a command's calls go.
type connection struct {
	*client.Client
	dataDir string
	session *daemon.Session // set if this command is scheduler and worker itself
	link    *daemon.Link    // set if the calls stay in this process and others do the work
	parts   *daemon.Parts   // set if the calls stay in this process
}

// connect finds the server: the one named, else that of the action which this is part of, else the one that was logged in to, else the one that the data directory names,
// else none, and the calls go to the handler in this process. With work, this process then is scheduler and worker, too.
func (a *app) connect(ctx context.Context, work bool) (*connection, error) {
	if a.flags.server != "" {
		if err := checkServer("--server (or ATTUNE_SERVER)", a.flags.server); err != nil {
			return nil, err
		}
		token, err := a.token()
		if err != nil {
			return nil, err
		}
		return &connection{Client: client.New(client.Config{BaseURL: a.flags.server, Token: token})}, nil
	}
	if c := a.asAction(); c != nil {
		return &connection{Client: c}, nil
	}
	p, ok, err := a.profile()
	if err != nil {
		return nil, err
	}
	if ok {
		return &connection{Client: client.New(client.Config{BaseURL: p.Server, Token: p.Token})}, nil
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	if server, token, ok := daemon.FindServer(cfg.DataDir); ok {
		return &connection{
			Client: client.New(client.Config{BaseURL: server.URL, Token: token, TLS: server.TLS()}), dataDir: cfg.DataDir,
		}, nil
	}
	return a.embed(ctx, cfg, work)
}

// asAction returns the client of the action that this command is part of; nil if it is of none, or something else is named.
func (a *app) asAction() *client.Client {
	address, token := a.getenv(client.EnvURL), a.getenv(client.EnvToken)
	if address == "" || token == "" || a.flags.profile != "" || a.flags.dataDir != "" {
		return nil
	}
	return client.New(client.Config{BaseURL: address, Token: token})
}

func (a *app) embed(ctx context.Context, cfg *config.Config, work bool) (*connection, error) {
	parts, err := daemon.Open(ctx, cfg, a.version(), a.commandLogger())
	if err != nil {
		return nil, err
	}
	c := &connection{parts: parts, dataDir: cfg.DataDir}
	if cfg.Production() {
		c.link = parts.Link(ctx)
		c.Client = client.New(client.Config{Transport: client.InProcess(c.link.Handler)})
		return c, nil
	}
	if !work {
		c.Client = client.New(client.Config{Transport: client.InProcess(parts.API("", nil).Handler())})
		return c, nil
	}
	if c.session, err = parts.Session(ctx); err != nil {
		return nil, errors.Join(err, parts.Close())
	}
	c.Client = client.New(client.Config{Transport: client.InProcess(c.session.Handler)})
	return c, nil
}

// close ends what runs in this process for the command.
func (c *connection) close() error {
	var err error
	if c.session != nil {
		err = c.session.Close()
	}
	if c.link != nil {
		err = errors.Join(err, c.link.Close())
	}
	if c.parts != nil {
		err = errors.Join(err, c.parts.Close())
	}
	return err
}

// call connects, makes a call, and closes.
func (a *app) call(ctx context.Context, do func(ctx context.Context, c *connection) error) (err error) {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := a.connect(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return do(ctx, c)
}

func (a *app) loadConfig() (*config.Config, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	a.config, err = config.Load(config.Source{
		File: a.flags.config, DataDir: a.flags.dataDir, Environ: a.Environ, HostName: host, WorkerName: a.flags.workerName,
		BehindProxy: a.flags.behindProxy,
	})
	return a.config, err
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
