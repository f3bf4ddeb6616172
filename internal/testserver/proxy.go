package testserver

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a server, and breaks what a test wants broken.
type Proxy struct {
	Refused atomic.Int64 // connections
	Stalled atomic.Int64 // how often something came that a frozen proxy held back

	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu      sync.Mutex
	pipes   map[*pipe]struct{}
	refuses bool          // new connections are closed at once
	flows   chan struct{} // closed while bytes pass
}

// pipe is one connection through the proxy.
type pipe struct {
	client, server net.Conn
	closed         chan struct{}
	close          func()
}

// Through returns a proxy to the server of a URL, ended when the test ends, and the URL that leads through it.
func Through(tb testing.TB, server string) (*Proxy, string) {
	tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: listener, server: u.Host, pipes: map[*pipe]struct{}{}, flows: make(chan struct{})}
	close(p.flows)
	u.Host = listener.Addr().String()
	p.running.Go(p.accept)
	tb.Cleanup(func() {
		_ = listener.Close() // ends accept
		p.Cut()
		p.running.Wait()
	})
	return p, u.String()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.server)
		if err != nil {
			_ = client.Close() // as the server does
			continue
		}
		one := &pipe{client: client, server: server, closed: make(chan struct{})}
		one.close = sync.OnceFunc(func() {
			_, _ = client.Close(), server.Close() // broken on purpose
			close(one.closed)
		})
		if !p.add(one) {
			p.Refused.Add(1)
			one.close()
			continue
		}
		p.running.Go(func() { p.copy(one, client, server) })
		p.running.Go(func() { p.copy(one, server, client) })
	}
}

func (p *Proxy) add(one *pipe) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		return false
	}
	p.pipes[one] = struct{}{}
	return true
}

func (p *Proxy) copy(one *pipe, from, to net.Conn) {
	defer func() {
		one.close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pipes, one)
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if !p.pass(one) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// pass waits while the proxy is frozen, and reports whether the connection is still there then.
func (p *Proxy) pass(one *pipe) bool {
	p.mu.Lock()
	flows := p.flows
	p.mu.Unlock()
	select {
	case <-flows:
		return true
	default:
	}
	p.Stalled.Add(1)
	select {
	case <-flows:
		return true
	case <-one.closed:
		return false
	}
}

// Cut closes all connections, and refuses new ones until Restore. It returns how many there were.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	p.refuses = true
	pipes := p.pipes
	p.pipes = map[*pipe]struct{}{}
	p.mu.Unlock()
	for one := range pipes {
		one.close()
	}
	return len(pipes)
}

// Restore takes new connections again.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
}

// Freeze lets nothing through any more, and closes nothing, as a server that has stopped.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows = make(chan struct{})
}

// Thaw lets through again, and first what was held back.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.flows)
}

// SayToServer says bytes in the name of each client, which must be silent, and returns how many there are.
func (p *Proxy) SayToServer(tb testing.TB, bytes []byte) int {
	tb.Helper()
	return p.say(tb, bytes, func(one *pipe) net.Conn { return one.server })
}

// SayToClients says bytes in the name of the server, which must be silent.
func (p *Proxy) SayToClients(tb testing.TB, bytes []byte) int {
	tb.Helper()
	return p.say(tb, bytes, func(one *pipe) net.Conn { return one.client })
}

func (p *Proxy) say(tb testing.TB, bytes []byte, to func(*pipe) net.Conn) int {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.pipes {
		if _, err := to(one).Write(bytes); err != nil {
			tb.Fatal(err)
		}
	}
	return len(p.pipes)
}
