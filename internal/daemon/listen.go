package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/attune-automation/attune"
)

// listen opens the configured address, with TLS if there is a certificate, and says what server.json says of it.
func (p *Parts) listen(ctx context.Context) (net.Listener, Server, error) {
	settings := p.cfg.Server
	listener, err := (&net.ListenConfig{}).Listen(ctx, network(settings.Listen), settings.Listen)
	if err != nil {
		return nil, Server{}, attune.Errorf(attune.CodeUnavailable,
			"can't listen: %v: set server.listen to a free address (port 0 takes any)", err)
	}
	server := Server{URL: "http://" + reachable(listener.Addr()), PID: os.Getpid()}
	if settings.TLSCertFile == "" {
		return listener, server, nil
	}
	pair := &keyPair{certFile: settings.TLSCertFile, keyFile: settings.TLSKeyFile}
	if _, err := pair.get(); err != nil {
		return nil, Server{}, errors.Join(attune.Errorf(attune.CodeInvalid, "server.tls_cert_file, server.tls_key_file: %v", err), listener.Close())
	}
	server.URL, server.Certificate = "https://"+reachable(listener.Addr()), settings.TLSCertFile
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := pair.get()
			if err != nil {
				p.log.Warn("the certificate can't be read anew, the one before is used", "error", err)
			}
			return c, nil
		},
	}), server, nil
}

// network is tcp4 for an address of IPv4: 0.0.0.0 would else mean all addresses of IPv6, too.
func network(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// reachable is an address by which this host reaches a listener.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	loopback := *tcp
	if loopback.IP = net.IPv4(127, 0, 0, 1); tcp.IP.To4() == nil {
		loopback.IP = net.IPv6loopback
	}
	return loopback.String()
}

// keyPair is a certificate with its key, read anew when its file has changed: those that last for weeks are renewed while
// the server runs.
type keyPair struct {
	certFile, keyFile string

	mu      sync.Mutex
	pair    *tls.Certificate
	changed time.Time
}

// get returns the pair, and why it is an old one.
func (k *keyPair) get() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.certFile)
	if err == nil && k.pair != nil && info.ModTime().Equal(k.changed) {
		return k.pair, nil
	}
	if err != nil {
		return k.pair, err
	}
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return k.pair, err
	}
	k.pair, k.changed = &pair, info.ModTime()
	return k.pair, nil
}

// TLS trusts, of a server of this data directory, the one certificate that the server itself was given: its names are
// those by which others reach it, and who made it matters to them.
func (s Server) TLS() *tls.Config {
	if s.Certificate == "" {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the certificate itself is compared instead
		VerifyConnection: func(c tls.ConnectionState) error {
			text, err := os.ReadFile(s.Certificate)
			if err != nil {
				return fmt.Errorf("the server's certificate: %w", err)
			}
			block, _ := pem.Decode(text)
			if block == nil {
				return fmt.Errorf("the server's certificate: %s holds none", s.Certificate)
			}
			own, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fmt.Errorf("the server's certificate: %s: %w", s.Certificate, err)
			}
			if len(c.PeerCertificates) == 0 || !own.Equal(c.PeerCertificates[0]) {
				return fmt.Errorf("this is not the server of %s: its certificate is another one", s.Certificate)
			}
			return nil
		},
	}
}
