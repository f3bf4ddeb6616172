package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
)

const (
	// keepAlive is how often a silent stream says that it is there: proxies cut connections that are idle for a minute.
	keepAlive = 15 * time.Second
	// gather is the least time between two writes to a reader of events: what comes meanwhile goes together. Hundreds of
	// readers would otherwise cost a packet for each event and reader.
	gather = 50 * time.Millisecond
	// eventsPatience is how long an answer waits for the broker before it begins.
	eventsPatience = 2 * time.Second
)

func (a *API) registerEvents(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/api/v1/events", Tags: []string{executionTag},
		Summary: "Follow executions as server-sent events",
		Description: "The data of each event is the payload of a message: of `requested` that of ExecutionRequested, of " +
			"`scheduled` that of ExecutionScheduled, of `status` that of ExecutionStatusChanged. They come from now on, or, " +
			"with Last-Event-ID, from behind that one on, as long as this server still has what follows it: the events of " +
			"the last minutes, at most 8,192. If it has not, or if some may have been missed, `reset` says that executions " +
			"are to be read again. Events that come close together arrive together.",
		Responses: map[string]*huma.Response{"200": {
			Description: "the events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, within(attune.RoleViewer)), a.streamEvents)
}

type streamEventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"100" doc:"the id of the last event that was read"`
}

func (a *API) streamEvents(_ context.Context, in *streamEventsInput) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		reader := a.events.join(in.LastEventID)
		defer reader.leave()
		// Who has the answer's beginning misses nothing from then on.
		soon, cancel := context.WithTimeout(answer.Context(), eventsPatience)
		a.events.await(soon, func() bool { return a.events.taking || a.events.ended })
		cancel()
		answer.SetHeader("Content-Type", "text/event-stream")
		answer.SetHeader("Cache-Control", "no-store")
		answer.SetHeader("X-Accel-Buffering", "no") // nginx would hold events back
		answer.SetStatus(http.StatusOK)
		// An error means that the reader has gone, which is how these streams end.
		_ = a.writeEvents(answer.Context(), flushing{answer.BodyWriter()}, reader)
	}}, nil
}

// writeEvents writes what a reader is told until it goes, or the API ends.
func (a *API) writeEvents(ctx context.Context, w io.Writer, reader *eventReader) error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	if _, err := io.WriteString(w, ": events follow\n\n"); err != nil {
		return err
	}
	for {
		events, changed, open := reader.next()
		text, err := a.spell(ctx, events)
		if err != nil {
			return err
		}
		if len(text) > 0 {
			if _, err := w.Write(text); err != nil {
				return err
			}
			if err := pause(ctx, gather); err != nil {
				return err
			}
			continue
		}
		if !open {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-alive.C:
			if _, err := io.WriteString(w, ": still here\n\n"); err != nil {
				return err
			}
		case <-changed:
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// spell returns the text of the events that the caller may see. What it may not see still moves its last id on.
func (a *API) spell(ctx context.Context, events []event) ([]byte, error) {
	var text bytes.Buffer
	hidden := ""
	for _, e := range events {
		seen, err := a.sees(ctx, e)
		if err != nil {
			return nil, err
		}
		if hidden = e.id; seen {
			hidden = ""
			text.Write(e.text)
		}
	}
	if hidden != "" {
		fmt.Fprintf(&text, "id: %s\n\n", hidden)
	}
	return text.Bytes(), nil
}

// sees tells whether an event is for the caller.
func (a *API) sees(ctx context.Context, e event) (bool, error) {
	caller := who(ctx)
	if caller.packs == nil || e.execution == 0 {
		return true, nil
	}
	pack := e.pack
	if pack == "" { // the message does not say
		row, err := a.row(ctx, e.execution)
		if attune.ErrorCode(err) == attune.CodeNotFound {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		pack = row.Action.Pack()
	}
	return caller.reaches(pack), nil
}

// event is one message as readers get it.
type event struct {
	id        string
	execution int64  // 0: it is for everybody
	pack      string // "" if the message does not say
	text      []byte
}

// newEvent makes an event of a message, and false of one that is none.
func newEvent(id string, payload broker.Payload) (event, bool, error) {
	e := event{id: id}
	var name string
	switch p := payload.(type) {
	case broker.ExecutionRequested:
		name, e.execution, e.pack = "requested", p.ExecutionID, p.ActionRef.Pack()
	case broker.ExecutionScheduled:
		name, e.execution = "scheduled", p.ExecutionID
	case broker.ExecutionStatusChanged:
		name, e.execution, e.pack = "status", p.ExecutionID, p.ActionRef.Pack()
	case nil:
		name = "reset"
	default:
		return e, false, nil
	}
	data := []byte("{}")
	if payload != nil {
		var err error
		if data, err = json.Marshal(payload); err != nil {
			return e, false, err
		}
	}
	e.text = fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", id, name, data)
	return e, true, nil
}

// eventsLinger is how long events are still taken when their last reader has gone: it may be about to come back.
const eventsLinger = 30 * time.Second

var errNoReaders = errors.New("nobody reads events")

// runEvents takes events from the broker while somebody reads them, until ctx ends.
func (a *API) runEvents(ctx context.Context) error {
	defer a.events.end()
	for a.events.await(ctx, func() bool { return a.events.readers > 0 }) {
		if err := a.takeEvents(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeEvents takes events until there were no readers for a while.
func (a *API) takeEvents(ctx context.Context) error {
	defer a.events.pause()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(errNoReaders)
	var group errgroup.Group
	group.Go(func() error {
		a.events.deserted(ctx, eventsLinger)
		stop(errNoReaders)
		return nil
	})
	group.Go(func() error {
		defer stop(errNoReaders)
		queue := broker.EventsQueue(watchPrefetch)
		queue.Ready = a.events.resume
		return a.cfg.Broker.Consume(ctx, queue, a.takeEvent)
	})
	return group.Wait()
}

func (a *API) takeEvent(_ context.Context, d broker.Delivery) {
	envelope, err := d.Open()
	if err != nil {
		a.log.Error("message rejected", "error", err)
		return
	}
	if err := a.events.add(envelope.Payload); err != nil {
		a.log.Error("event not told", "error", err)
	}
	if err := d.Ack(); err != nil {
		a.log.Debug("event not acknowledged, it comes again", "error", err)
	}
}
