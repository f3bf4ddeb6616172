// Package api owns the HTTP API: its operations and their OpenAPI document, what it checks before anything is stored,
// the problem documents, who is let in, and the live streams.
//
// The daemon serves Handler on the network; a command without a server calls the same Handler in its own process. It
// reads rows itself, but every change of an execution is a method of package execution. It runs no action and places
// nothing.
package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/live"
	"github.com/attune-automation/attune/internal/objects"
	"github.com/attune-automation/attune/internal/outage"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

// Config is what the operations work on.
type Config struct {
	Store      *store.Store
	Executions *execution.Service
	Broker     broker.Broker
	Artifacts  func(worker string) (*artifact.Store, error) // where a worker keeps its files
	Live       *live.Mirror                                 // reads the output of workers elsewhere; nil: only what lies here is read
	Objects    *objects.Store                               // where artifacts go when an attempt has ended; nil for none
	Token      string                                       // lets in, as those that were created do; "" lets all in, as the user of this process
	Pin        func() int64                                 // the only worker that may run what is submitted; nil: any
	Version    string
	Logger     *slog.Logger

	Keys      *secret.Safe // encrypts keys and secret parameters
	RenewKeys bool         // rotation makes a new master key: nobody else has a copy of the file

	AnswerTime   time.Duration // how long a request may wait for the database, 30 s if 0
	BodyTime     time.Duration // how long the body of a request may take to come, 30 s if 0
	RecheckTime  time.Duration // how often the token of a request that lasts is looked up again, 5 s if 0
	RateLimit    int           // requests a second with one token, 0 for any number
	GuessLimit   int           // tokens a second from one address that are not known, 0 for any number
	BehindProxy  bool          // which tells in X-Forwarded-For where a request comes from
	Origins      []string      // of pages elsewhere that may read answers
	MaxWaiting   int           // executions that may wait before submissions are refused, 0 for any number
	MessagesAway func() error  // why the broker is not connected, nil if it is; nil: it is part of this process

	Hooks
}

// API is the operations. Handler may be called before Run; until Run has begun, changes are seen by looking alone.
type API struct {
	cfg       Config
	log       *slog.Logger
	readiness *outage.Log // of the database, as probes find it
	watchers  watchers
	events    *hub
	fleet     fleet
	backlog   backlog
	gate      gate
	guessing  *outage.Log
	handler   http.Handler
	document  *huma.OpenAPI

	executions *lookup[int64, store.ExecutionRow]
	actions    *lookup[attune.Ref, store.StoredAction]
	tokens     *lookup[[sha256.Size]byte, store.TokenRow]
}

// New returns an API. It starts nothing.
func New(cfg Config) *API {
	cfg.AnswerTime, cfg.BodyTime = cmp.Or(cfg.AnswerTime, answerTime), cmp.Or(cfg.BodyTime, bodyTime)
	cfg.RecheckTime = cmp.Or(cfg.RecheckTime, recheckTime)
	a := &API{cfg: cfg, log: cfg.Logger, readiness: outage.New(cfg.Logger), events: newHub()}
	a.executions, a.actions = executionLookup(cfg.Store), actionLookup(cfg.Store)
	a.tokens, a.gate, a.guessing = tokenLookup(cfg.Store), newGate(cfg), outage.New(cfg.Logger)
	mux := http.NewServeMux()
	operations := humago.New(mux, a.settings())
	operations.UseMiddleware(a.nameOperation, strictInput, textOnly(operations), a.checkAccess(operations))
	for _, register := range []func(huma.API){
		a.registerExecutions, a.registerSubmit, a.registerOutput, a.registerAdd, a.registerEvents, a.registerActions, a.registerPacks,
		a.registerWorkers, a.registerKeys, a.registerReveal, a.registerTokens, a.registerSystem, a.registerMetrics,
	} {
		register(operations)
	}
	a.document = operations.OpenAPI()
	finishDocument(a.document)
	a.registerPages(mux)
	a.handler = a.observed(a.bodiesInTime(a.share(a.sessions(a.guard(a.authenticate(problemsFor(mux)))))))
	return a
}

// settings are huma's: its own pages are left out, because they load scripts from elsewhere, and so are the links to
// schemas that it would add to every object.
func (a *API) settings() huma.Config {
	settings := huma.DefaultConfig("Attune", a.cfg.Version)
	settings.OpenAPIPath, settings.DocsPath, settings.SchemasPath = "", "", ""
	settings.CreateHooks = nil
	settings.Formats = map[string]huma.Format{"application/json": exactJSON(), "json": exactJSON()}
	settings.RejectUnknownQueryParameters = true
	settings.Transformers = []huma.Transformer{plainProblem}
	settings.Info.Description = "Runs automation actions, and keeps what came of them."
	settings.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	settings.Security = []map[string][]string{{"token": {}}}
	return settings
}

// Handler returns the operations as a handler. It is safe for concurrent use.
func (a *API) Handler() http.Handler { return a.handler }

// watchPrefetch bounds the changes in flight; they are acknowledged as they come.
const watchPrefetch = 100

// Run tells those who wait of the changes that the broker brings, and those who read events of all that it brings, until
// ctx ends. Without it, or without the broker, the former look at the row once a second.
func (a *API) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.runEvents(ctx) })
	group.Go(func() error { return a.runWatchers(ctx) })
	return group.Wait()
}

func (a *API) runWatchers(ctx context.Context) error {
	return a.cfg.Broker.Consume(ctx, broker.ServerQueue(watchPrefetch), func(_ context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			a.log.Error("message rejected", "error", err)
			return
		}
		if change, ok := envelope.Payload.(broker.ExecutionStatusChanged); ok {
			a.watchers.tell(change)
		}
		if err := d.Ack(); err != nil {
			a.log.Debug("change not acknowledged, it comes again", "error", err)
		}
	})
}
