package daemon

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/web"
)

// healthTime bounds how long a probe of a worker waits for the database.
const healthTime = 5 * time.Second

// healthAddress is where worker.port has a worker listen: a number means this host alone.
func healthAddress(port string) string {
	if _, err := strconv.Atoi(port); err == nil {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return port
}

// listenHealth opens worker.port; nil if there is none.
func (p *Parts) listenHealth(ctx context.Context) (net.Listener, error) {
	if p.cfg.Worker.Port == "" {
		return nil, nil //nolint:nilnil // there is nothing to listen on, which is no error
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", healthAddress(p.cfg.Worker.Port))
	if err != nil {
		return nil, attune.Errorf(attune.CodeUnavailable, "can't listen: %v: set worker.port to a free port, or leave it out", err)
	}
	p.log.Info("health and metrics are at", "url", "http://"+reachable(listener.Addr()))
	return listener, nil
}

// serveHealth answers probes and Prometheus until ctx ends.
func (p *Parts) serveHealth(ctx context.Context, listener net.Listener) error {
	if listener == nil {
		return nil
	}
	return serve(ctx, listener, p.health())
}

// health has nothing that is secret, and takes nothing: it needs no token.
func (p *Parts) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		told := p.readiness(r.Context())
		status := http.StatusOK
		if told.Status == notReady {
			status = http.StatusServiceUnavailable
		}
		answerJSON(w, status, told)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		web.Secure(w.Header())
		if err := p.figures.Load().Write(r.Context(), w); err != nil {
			p.log.Warn("the metrics are not whole", "error", err)
			panic(http.ErrAbortHandler)
		}
	})
	return mux
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	web.Secure(w.Header())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}

// The words of a worker's readiness.
const (
	ready    = "ready"
	degraded = "degraded"  // it runs executions, but not as it should
	notReady = "not ready" // it takes none
)

// readiness is what a worker tells a probe.
type readiness struct {
	Status    string            `json:"status"`
	Reasons   map[string]string `json:"reasons,omitempty"` // why, by what is not as it should be
	Slots     int               `json:"slots"`
	SlotsUsed int               `json:"slots_used"` // all of them is busy, and ready
}

func (p *Parts) readiness(ctx context.Context) readiness {
	own := p.own.Load()
	if own == nil {
		return readiness{Status: notReady, Reasons: map[string]string{"worker": "it has not begun"}}
	}
	s := own.State()
	told := readiness{Status: ready, Reasons: map[string]string{}, Slots: s.Slots, SlotsUsed: s.Used}
	because := func(status, part, why string) {
		if told.Status != notReady {
			told.Status = status
		}
		told.Reasons[part] = why
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	if _, err := p.store.Read().Now(ctx); err != nil {
		because(notReady, "database", "it does not answer")
	}
	switch {
	case !s.Registered:
		because(notReady, "worker", "it is not registered yet")
	case s.Draining:
		because(notReady, "worker", "it drains: it takes nothing new, and ends")
	case s.Lapsing:
		because(notReady, "worker", "its lease can't be renewed")
	}
	if p.remote != nil && !p.remote.Connected() {
		because(degraded, "message_queue", "there is no connection to RabbitMQ")
	}
	if len(s.Short) > 0 {
		because(notReady, "host", "it is short of "+attune.ShortOfText(s.Short))
	}
	return told
}
