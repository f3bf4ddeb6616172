package client_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/config"
	"github.com/attune-automation/attune/internal/daemon"
)

// running ends the server of the examples, if one was started, before goleak looks for what was left.
type running struct{ *testing.M }

// Run runs the tests.
func (r running) Run() int {
	code := r.M.Run()
	if err := endServer(); err != nil {
		slog.Error("the server of the examples ended", "error", err)
		return 1
	}
	return code
}

var (
	endMu     sync.Mutex
	endServer = func() error { return nil }
)

// serverOfExamples starts `attune up` on a directory of its own, once, and returns where it is and its token.
var serverOfExamples = sync.OnceValues(func() (url, token string) {
	dir, err := os.MkdirTemp("", "attune-examples-")
	if err != nil {
		panic(err)
	}
	cfg, err := config.Load(config.Source{DataDir: dir, HostName: "example", Environ: []string{"ATTUNE__SERVER__LISTEN=127.0.0.1:0"}})
	if err != nil {
		panic(err)
	}
	parts, err := daemon.Open(context.Background(), cfg, "example", slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- parts.Up(ctx, nil, func(daemon.Server) { close(ready) }) }()
	endMu.Lock()
	defer endMu.Unlock()
	endServer = func() error {
		stop(errors.New("the examples have ended"))
		return errors.Join(<-ended, parts.Close(), os.RemoveAll(dir))
	}
	<-ready
	server, token, _ := daemon.FindServer(dir)
	return server.URL, token
})

// connect returns a client of that server. A program of yours has client.Config{BaseURL: …, Token: …} instead.
func connect() *client.Client {
	url, token := serverOfExamples()
	return client.New(client.Config{BaseURL: url, Token: token})
}
