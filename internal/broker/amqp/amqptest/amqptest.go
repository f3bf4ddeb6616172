// Package amqptest gives tests a RabbitMQ of their own: a fresh virtual host of the server that the environment names.
//
// ATTUNE_TEST_AMQP_URL is amqp://user:password@host:port, and ATTUNE_TEST_AMQP_MANAGEMENT_URL, the server's management
// API, is http://user:password@host:port. The user has to be an administrator. Without them a test is skipped, but
// fails where CI is set, so that nobody takes what did not run for what passed.
package amqptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune-automation/attune/internal/host/hosttest"
)

// What names the server.
const (
	EnvURL           = "ATTUNE_TEST_AMQP_URL"
	EnvManagementURL = "ATTUNE_TEST_AMQP_MANAGEMENT_URL"
)

// URL returns the URL of a fresh virtual host, which is deleted, with all connections to it, when t ends.
func URL(t testing.TB) string {
	t.Helper()
	return New(t).URL
}

// VirtualHost is one on the server, and what a test may do to it behind the back of the broker.
type VirtualHost struct {
	URL        string // to connect to
	name       string
	user       string
	management *url.URL
}

// New returns a fresh virtual host, as URL does.
func New(t testing.TB) *VirtualHost {
	t.Helper()
	hosttest.Needs(t, os.Getenv(EnvURL) != "", "needs a RabbitMQ: set %s and %s", EnvURL, EnvManagementURL)
	server, management := parse(t, EnvURL), parse(t, EnvManagementURL)
	v := &VirtualHost{name: "attune-test-" + uuid.NewString(), user: server.User.Username(), management: management}
	server.Path = "/" + v.name
	v.URL = server.String()
	v.Create(t)
	t.Cleanup(func() { v.Delete(t) })
	return v
}

// Create makes the virtual host, as New does, after it was deleted.
func (v *VirtualHost) Create(t testing.TB) {
	t.Helper()
	v.call(t, http.MethodPut, nil, nil, "vhosts", v.name)
	all := map[string]string{"configure": ".*", "write": ".*", "read": ".*"}
	v.call(t, http.MethodPut, all, nil, "permissions", v.name, v.user)
}

// Delete deletes the virtual host, with all connections to it.
func (v *VirtualHost) Delete(t testing.TB) {
	t.Helper()
	v.call(t, http.MethodDelete, nil, nil, "vhosts", v.name)
}

func parse(t testing.TB, env string) *url.URL {
	t.Helper()
	u, err := url.Parse(os.Getenv(env))
	if err != nil || u.Host == "" || u.User == nil {
		t.Fatalf("%s is not scheme://user:password@host:port", env)
	}
	return u
}

// Connections returns the names of the connections that are open now.
func (v *VirtualHost) Connections(t testing.TB) []string {
	t.Helper()
	var connections []struct{ Name string }
	v.call(t, http.MethodGet, nil, &connections, "vhosts", v.name, "connections")
	names := make([]string, 0, len(connections))
	for _, c := range connections {
		names = append(names, c.Name)
	}
	return names
}

// CloseConnections closes what is open now, as an operator would, and returns how many that were.
func (v *VirtualHost) CloseConnections(t testing.TB) int {
	t.Helper()
	names := v.Connections(t)
	for _, name := range names {
		v.call(t, http.MethodDelete, nil, nil, "connections", name)
	}
	return len(names)
}

// Queue is what the server says about a queue. Its counts are up to 5 s old.
type Queue struct {
	Name, Type string
	Durable    bool
	Exclusive  bool
	Arguments  map[string]any
	Messages   int
}

// Queues returns the queues that are there.
func (v *VirtualHost) Queues(t testing.TB) []Queue {
	t.Helper()
	var queues []Queue
	v.call(t, http.MethodGet, nil, &queues, "queues", v.name)
	return queues
}

// DeleteQueue deletes a queue with what it holds.
func (v *VirtualHost) DeleteQueue(t testing.TB, queue string) {
	t.Helper()
	v.call(t, http.MethodDelete, nil, nil, "queues", v.name, queue)
}

// DeleteExchange deletes an exchange.
func (v *VirtualHost) DeleteExchange(t testing.TB, exchange string) {
	t.Helper()
	v.call(t, http.MethodDelete, nil, nil, "exchanges", v.name, exchange)
}

// DeclareExchange declares an exchange of a kind, such as direct.
func (v *VirtualHost) DeclareExchange(t testing.TB, exchange, kind string) {
	t.Helper()
	v.call(t, http.MethodPut, map[string]any{"type": kind, "durable": true}, nil, "exchanges", v.name, exchange)
}

// Publish publishes any bytes, which may be no envelope.
func (v *VirtualHost) Publish(t testing.TB, exchange, key, body string) {
	t.Helper()
	v.call(t, http.MethodPost, map[string]any{
		"properties": struct{}{}, "routing_key": key, "payload": body, "payload_encoding": "string",
	}, nil, "exchanges", v.name, exchange, "publish")
}

// Get returns the oldest messages of a queue, which keeps them.
func (v *VirtualHost) Get(t testing.TB, queue string, count int) []Message {
	t.Helper()
	var messages []Message
	v.call(t, http.MethodPost, map[string]any{
		"count": count, "ackmode": "ack_requeue_true", "encoding": "auto",
	}, &messages, "queues", v.name, queue, "get")
	return messages
}

// Message is one as the server tells it.
type Message struct {
	RoutingKey string `json:"routing_key"`
	Payload    string
	Properties Properties
}

// Properties are those of a message that Attune sets.
type Properties struct {
	Headers       map[string]any
	MessageID     string `json:"message_id"`
	CorrelationID string `json:"correlation_id"`
	Type          string
	Timestamp     int64
	ContentType   string `json:"content_type"`
	DeliveryMode  int    `json:"delivery_mode"`
}

// UnmarshalJSON reads an object, or the empty array that the server writes for an empty one.
func (p *Properties) UnmarshalJSON(document []byte) error {
	if string(document) == "[]" {
		return nil
	}
	type plain Properties
	return json.Unmarshal(document, (*plain)(p))
}

// call calls the management API, which must answer with success; what had gone before is as good as deleted.
func (v *VirtualHost) call(t testing.TB, method string, request, answer any, path ...string) {
	t.Helper()
	for i, part := range path {
		path[i] = url.PathEscape(part)
	}
	target := *v.management
	target.User = nil
	address := strings.TrimSuffix(target.String(), "/") + "/api/" + strings.Join(path, "/")
	status, body, err := v.exchange(t, method, address, request)
	switch {
	case err != nil:
		t.Fatalf("%s %s: %v", method, address, err)
	case method == http.MethodDelete && status == http.StatusNotFound:
	case status >= 300:
		t.Fatalf("%s %s: %d %s", method, address, status, body)
	case answer != nil:
		if err := json.Unmarshal(body, answer); err != nil {
			t.Fatalf("%s %s: %v", method, address, err)
		}
	}
}

func (v *VirtualHost) exchange(t testing.TB, method, address string, request any) (status int, _ []byte, _ error) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		return 0, nil, fmt.Errorf("encode the request: %w", err)
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}} // no goroutine stays
	// Not the context of t, which has ended when the virtual host is deleted.
	r, err := http.NewRequest(method, address, bytes.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, nil, err
	}
	password, _ := v.management.User.Password()
	r.SetBasicAuth(v.management.User.Username(), password)
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	got, err := io.ReadAll(response.Body)
	return response.StatusCode, got, err
}
