package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune/client"
)

// certificate writes a certificate for attune.example that its own key has signed, with that key.
func certificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "attune.example"}, DNSNames: []string{"attune.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// The key first: who sees the new certificate reads both.
	block := &pem.Block{Type: "PRIVATE KEY", Bytes: secret}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(certFile+".new", certFile); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

// TestServerWithTLS has the commands of the data directory and a client elsewhere use it, and renews its certificate.
func TestServerWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := certificate(t, certFile, keyFile)
	h := newHost(t, embedded, "ATTUNE__SERVER__TLS_CERT_FILE="+certFile, "ATTUNE__SERVER__TLS_KEY_FILE="+keyFile)
	server := h.spawn("up")
	url := server.log.url()
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("it is at %s", url)
	}
	if out := h.attune(0, "run", "core.echo", "message=hi"); !strings.HasPrefix(out, "hi\n") {
		t.Errorf("%q", out)
	}

	token, err := os.ReadFile(filepath.Join(h.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := func(pool *x509.CertPool) error {
		c := client.New(client.Config{
			BaseURL: url, Token: strings.TrimSpace(string(token)), TLS: &tls.Config{RootCAs: pool, ServerName: "attune.example"},
		})
		defer c.Close()
		_, err := c.Packs(context.Background())
		return err
	}
	if err := elsewhere(pool); err != nil {
		t.Error(err)
	}
	if err := elsewhere(x509.NewCertPool()); err == nil {
		t.Error("a certificate that nobody vouches for is trusted")
	}
	answer, err := http.Get(strings.Replace(url, "https://", "http://", 1) + "/healthz")
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Error("it answers in clear, too")
		}
	}

	renewed := certificate(t, certFile, keyFile)
	h.eventually("the new certificate is used", func() bool { return elsewhere(renewed) == nil })
	h.attune(0, "execution", "list")

	// Somebody else at the address is not the server.
	certificate(t, certFile, filepath.Join(dir, "another.pem"))
	h.attune(4, "execution", "list")
}

// TestListeningWhereOthersCome is refused without TLS, before anything listens.
func TestListeningWhereOthersCome(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded, "ATTUNE__SERVER__LISTEN=192.0.2.1:7080")
	h.attune(2, "up")
	h.attune(4, "up", "--behind-proxy") // which is no address of this host
}
