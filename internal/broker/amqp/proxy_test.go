package amqp_test

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a broker and RabbitMQ, and breaks what a test wants broken.
type proxy struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup
	refused  atomic.Int64 // connections
	stalled  atomic.Int64 // how often something came that a frozen proxy held back

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

// through returns a proxy to the server of a URL, and the URL that leads through it.
func through(t *testing.T, server string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: u.Host, pipes: map[*pipe]struct{}{}, flows: make(chan struct{})}
	close(p.flows)
	u.Host = listener.Addr().String()
	p.running.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		one := &pipe{client: client, server: server, closed: make(chan struct{})}
		one.close = sync.OnceFunc(func() {
			client.Close()
			server.Close()
			close(one.closed)
		})
		if !p.add(one) {
			p.refused.Add(1)
			one.close()
			continue
		}
		p.running.Go(func() { p.copy(one, client, server) })
		p.running.Go(func() { p.copy(one, server, client) })
	}
}

func (p *proxy) add(one *pipe) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		return false
	}
	p.pipes[one] = struct{}{}
	return true
}

func (p *proxy) copy(one *pipe, from, to net.Conn) {
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
func (p *proxy) pass(one *pipe) bool {
	p.mu.Lock()
	flows := p.flows
	p.mu.Unlock()
	select {
	case <-flows:
		return true
	default:
	}
	p.stalled.Add(1)
	select {
	case <-flows:
		return true
	case <-one.closed:
		return false
	}
}

// cut closes all connections, and refuses new ones until restore. It returns how many there were.
func (p *proxy) cut() int {
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

func (p *proxy) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
}

// freeze lets nothing through any more, and closes nothing, as a server that has stopped.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows = make(chan struct{})
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.flows)
}

// sayToServer says bytes in the name of each client, which must be silent, and returns how many there are.
func (p *proxy) sayToServer(t *testing.T, bytes []byte) int {
	t.Helper()
	return p.say(t, bytes, func(one *pipe) net.Conn { return one.server })
}

// sayToClients says bytes in the name of the server, which must be silent.
func (p *proxy) sayToClients(t *testing.T, bytes []byte) int {
	t.Helper()
	return p.say(t, bytes, func(one *pipe) net.Conn { return one.client })
}

func (p *proxy) say(t *testing.T, bytes []byte, to func(*pipe) net.Conn) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.pipes {
		if _, err := to(one).Write(bytes); err != nil {
			t.Fatal(err)
		}
	}
	return len(p.pipes)
}
