package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// InProcess returns a transport that calls handler in this process: no network, no copy of it in between, and bodies
// that stream as they are written. Closing a body ends its handler and waits for it.
func InProcess(handler http.Handler) http.RoundTripper { return inProcess{handler} }

type inProcess struct{ handler http.Handler }

var errBodyClosed = errors.New("the reader has closed the answer")

// RoundTrip calls the handler and returns when it has begun to answer.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	request := r.Clone(ctx)
	if request.Body == nil {
		request.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &pipedResponse{header: http.Header{}, body: writer, began: make(chan struct{}), ended: make(chan struct{})}
	go w.serve(t.handler, request)
	select {
	case <-w.began:
	case <-ctx.Done():
		cancel(nil)
		_ = reader.Close() // a pipe's close never fails
		<-w.ended
		return nil, context.Cause(ctx)
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, ContentLength: -1, Request: r,
		Body: &pipedBody{PipeReader: reader, cancel: cancel, ended: w.ended},
	}, nil
}

// pipedResponse is what the handler writes to.
type pipedResponse struct {
	header http.Header
	sent   http.Header // what header was when the answer began
	status int
	body   *io.PipeWriter
	once   sync.Once
	began  chan struct{}
	ended  chan struct{}
}

func (w *pipedResponse) serve(handler http.Handler, r *http.Request) {
	defer close(w.ended)
	defer func() { _ = r.Body.Close() }() // as a RoundTripper has to; nothing was written to it
	defer func() {
		// As net/http does: a handler that can't go on aborts, so that the reader sees half an answer for what it is.
		switch fault := recover(); fault {
		case nil:
			w.WriteHeader(http.StatusOK)
			_ = w.body.Close() // a pipe's close never fails
		case http.ErrAbortHandler:
			w.WriteHeader(http.StatusInternalServerError)
			_ = w.body.CloseWithError(io.ErrUnexpectedEOF)
		default:
			panic(fault)
		}
	}()
	handler.ServeHTTP(w, r)
}

// Header returns what WriteHeader will send.
func (w *pipedResponse) Header() http.Header { return w.header }

// WriteHeader begins the answer; only the first call counts.
func (w *pipedResponse) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.began)
	})
}

// Write hands p to the reader, and returns when it was taken.
func (w *pipedResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush begins the answer; what was written is with the reader already.
func (w *pipedResponse) Flush() { w.WriteHeader(http.StatusOK) }

type pipedBody struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
	ended  <-chan struct{}
}

// Close ends the handler and waits for it.
func (b *pipedBody) Close() error {
	b.cancel(errBodyClosed)
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
