package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Version is the version of the envelope and of all payloads; another one is unreadable to this program.
const Version = "1.0"

// ErrUnreadable is what Decode wraps: the message keeps to no version of the contract that this program knows.
var ErrUnreadable = errors.New("unreadable message")

// Envelope is the JSON document that every message is.
type Envelope struct {
	MessageID     string            `json:"message_id"`     // unique; a message published again keeps it
	CorrelationID string            `json:"correlation_id"` // the same for all messages of one execution: execution-42
	MessageType   string            `json:"message_type"`   // the name of the payload's type
	Version       string            `json:"version"`
	Timestamp     time.Time         `json:"timestamp"` // when the message was made, by the sender's clock
	Headers       map[string]string `json:"headers"`   // traceparent, if the sender is traced
	Payload       Payload           `json:"payload"`
}

// Payload is one of ExecutionRequested, ExecutionScheduled, ExecutionCancelRequested, ExecutionStatusChanged,
// OutputRequested and OutputWritten.
type Payload interface {
	messageType() string
	executionID() int64
	check() error
}

// Message is an envelope and where it goes. The constructors beside the payload types make them.
type Message struct {
	Envelope   Envelope
	RoutingKey string
	Mandatory  bool // a queue must exist: Publish returns ErrUnroutable if none does
}

func newMessage(key string, mandatory bool, p Payload) Message {
	return Message{RoutingKey: key, Mandatory: mandatory, Envelope: Envelope{
		MessageID:     uuid.NewString(),
		CorrelationID: "execution-" + strconv.FormatInt(p.executionID(), 10),
		MessageType:   p.messageType(),
		Version:       Version,
		Timestamp:     time.Now().UTC(),
		Headers:       map[string]string{},
		Payload:       p,
	}}
}

// Encode returns the body that an adapter sends.
func (m Message) Encode() ([]byte, error) {
	body, err := json.Marshal(m.Envelope)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Envelope.MessageType, err)
	}
	return body, nil
}

// Decode reads a body strictly: unknown and missing fields, unknown types and versions, and what follows the document
// are ErrUnreadable, with the reason.
func Decode(body []byte) (Envelope, error) {
	var wire struct {
		Envelope
		Payload json.RawMessage `json:"payload"` // hides the envelope's, which waits for message_type
	}
	if err := decodeStrict(body, &wire); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	envelope := wire.Envelope
	if envelope.Version != Version {
		return Envelope{}, fmt.Errorf("%w: version %.16q, want %q", ErrUnreadable, envelope.Version, Version)
	}
	if envelope.MessageID == "" {
		return Envelope{}, fmt.Errorf("%w: message_id is missing", ErrUnreadable)
	}
	payload, err := decodePayload(envelope.MessageType, wire.Payload)
	if err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	envelope.Payload = payload
	return envelope, nil
}

func decodePayload(messageType string, raw json.RawMessage) (payload Payload, err error) {
	switch messageType {
	case TypeExecutionRequested:
		payload, err = read[ExecutionRequested](raw)
	case TypeExecutionScheduled:
		payload, err = read[ExecutionScheduled](raw)
	case TypeExecutionCancelRequested:
		payload, err = read[ExecutionCancelRequested](raw)
	case TypeExecutionStatusChanged:
		payload, err = read[ExecutionStatusChanged](raw)
	case TypeOutputRequested:
		payload, err = read[OutputRequested](raw)
	case TypeOutputWritten:
		payload, err = read[OutputWritten](raw)
	default:
		return nil, fmt.Errorf("unknown message_type %.64q", messageType)
	}
	if err != nil {
		return nil, fmt.Errorf("payload of %s: %w", messageType, err)
	}
	return payload, nil
}

func read[P Payload](raw json.RawMessage) (Payload, error) {
	var payload P
	if err := decodeStrict(raw, &payload); err != nil {
		return nil, err
	}
	return payload, payload.check()
}

func decodeStrict(document []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON document")
	}
	return nil
}
