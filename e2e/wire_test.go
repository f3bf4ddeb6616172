package e2e_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is a proxy on the way of one process to a server. Who knows the server's protocol relays what is said.
type wire struct {
	listener net.Listener
	server   string // host:port
	running  sync.WaitGroup

	mu    sync.Mutex
	over  bool
	calls map[*call]struct{}
}

// call is one connection through a wire.
type call struct {
	client, server net.Conn
	over           chan struct{} // closed by end
	end            func()
}

// newWire listens for the process. relay has a call until it is over; then both sides are closed.
func newWire(t *testing.T, server string, relay func(*call)) *wire {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, server: server, calls: map[*call]struct{}{}}
	w.running.Go(func() { w.accept(relay) })
	t.Cleanup(func() {
		w.mu.Lock()
		w.over = true
		w.mu.Unlock()
		_ = listener.Close()
		w.cut()
		w.running.Wait()
	})
	return w
}

func (w *wire) accept(relay func(*call)) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return // the test is over
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			_ = client.Close() // as if it had asked the server, which is away
			continue
		}
		c := &call{client: client, server: server, over: make(chan struct{})}
		c.end = sync.OnceFunc(func() {
			close(c.over)
			_ = client.Close()
			_ = server.Close()
		})
		w.mu.Lock()
		w.calls[c] = struct{}{}
		over := w.over
		w.mu.Unlock()
		if over {
			c.end()
		}
		w.running.Go(func() {
			defer c.end()
			relay(c)
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.calls, c)
		})
	}
}

// cut ends all calls of now.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.calls {
		c.end()
	}
}

func (w *wire) countCalls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// through returns a URL of the server as one that leads through the wire.
func (w *wire) through(t *testing.T, server string) *url.URL {
	t.Helper()
	u := parseURL(t, server)
	u.Host = w.listener.Addr().String()
	return u
}

func parseURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
