package broker_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
)

// contract is a message of each type, word for word as programs outside the project read and write them.
var contract = map[string]struct {
	payload    broker.Payload
	routingKey string
	mandatory  bool
}{
	`{"message_id":"m","correlation_id":"execution-42","message_type":"ExecutionRequested","version":"1.0",` +
		`"timestamp":"2026-01-02T03:04:05.000006Z","headers":{"traceparent":"t"},` +
		`"payload":{"execution_id":42,"action_ref":"core.echo"}}`: {
		payload:    broker.ExecutionRequested{ExecutionID: 42, ActionRef: "core.echo"},
		routingKey: "execution.requested",
	},
	`{"message_id":"m","correlation_id":"execution-42","message_type":"ExecutionScheduled","version":"1.0",` +
		`"timestamp":"2026-01-02T03:04:05.000006Z","headers":{"traceparent":"t"},` +
		`"payload":{"execution_id":42,"attempt":1,"worker_id":7,"incarnation":3}}`: {
		payload:    broker.ExecutionScheduled{ExecutionID: 42, Attempt: 1, WorkerID: 7, Incarnation: 3},
		routingKey: "execution.scheduled.7", mandatory: true,
	},
	`{"message_id":"m","correlation_id":"execution-42","message_type":"ExecutionCancelRequested","version":"1.0",` +
		`"timestamp":"2026-01-02T03:04:05.000006Z","headers":{"traceparent":"t"},` +
		`"payload":{"execution_id":42,"attempt":1}}`: {
		payload:    broker.ExecutionCancelRequested{ExecutionID: 42, Attempt: 1},
		routingKey: "execution.cancel.7", mandatory: true,
	},
	`{"message_id":"m","correlation_id":"execution-42","message_type":"ExecutionStatusChanged","version":"1.0",` +
		`"timestamp":"2026-01-02T03:04:05.000006Z","headers":{"traceparent":"t"},` +
		`"payload":{"execution_id":42,"action_ref":"core.echo","attempt":1,"previous_status":"running",` +
		`"new_status":"timeout","changed_at":"2026-01-02T03:04:06Z"}}`: {
		payload: broker.ExecutionStatusChanged{
			ExecutionID: 42, ActionRef: "core.echo", Attempt: 1,
			PreviousStatus: attune.StatusRunning, NewStatus: attune.StatusTimeout,
			ChangedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		},
		routingKey: "execution.status.timeout",
	},
	`{"message_id":"m","correlation_id":"execution-42","message_type":"OutputRequested","version":"1.0",` +
		`"timestamp":"2026-01-02T03:04:05.000006Z","headers":{"traceparent":"t"},` +
		`"payload":{"execution_id":42,"attempt":1,"stream":"stdout","reply_to":"s-1","request":3,"offset":0,"until":1024,"again":true}}`: {
		payload: broker.OutputRequested{
			ExecutionID: 42, Attempt: 1, Stream: attune.Stdout, ReplyTo: "s-1", Request: 3, Until: 1024, Again: true,
		},
		routingKey: "execution.follow.7", mandatory: true,
	},
	`{"message_id":"m","correlation_id":"execution-42","message_type":"OutputWritten","version":"1.0",` +
		`"timestamp":"2026-01-02T03:04:05.000006Z","headers":{"traceparent":"t"},` +
		`"payload":{"execution_id":42,"attempt":1,"stream":"stderr","request":3,"offset":5,"data":"AP8K","size":8,"ended":true}}`: {
		payload: broker.OutputWritten{
			ExecutionID: 42, Attempt: 1, Stream: attune.Stderr, Request: 3, Offset: 5, Data: []byte{0, 0xff, '\n'}, Size: 8, Ended: true,
		},
		routingKey: "execution.output.s-1", mandatory: true,
	},
}

func construct(p broker.Payload) broker.Message {
	switch p := p.(type) {
	case broker.ExecutionRequested:
		return broker.Requested(p)
	case broker.ExecutionScheduled:
		return broker.Scheduled(p)
	case broker.ExecutionCancelRequested:
		return broker.CancelRequested(7, p)
	case broker.ExecutionStatusChanged:
		return broker.StatusChanged(p)
	case broker.OutputRequested:
		return broker.FollowOutput(7, p)
	case broker.OutputWritten:
		return broker.SendOutput("s-1", p)
	}
	panic("no such payload")
}

func TestMessagesKeepToTheContract(t *testing.T) {
	t.Parallel()
	for document, want := range contract {
		m := construct(want.payload)
		if m.RoutingKey != want.routingKey || m.Mandatory != want.mandatory {
			t.Errorf("%T goes to %s (mandatory %v), want %s", want.payload, m.RoutingKey, m.Mandatory, want.routingKey)
		}
		if m.Envelope.MessageID == construct(want.payload).Envelope.MessageID {
			t.Errorf("two messages have the id %s", m.Envelope.MessageID)
		}
		m.Envelope.MessageID = "m"
		m.Envelope.Timestamp = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
		m.Envelope.Headers["traceparent"] = "t"
		body, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(document, string(body)); diff != "" {
			t.Error(diff)
		}
		envelope, err := broker.Decode([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m.Envelope, envelope); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEncodeRefusesWhatJSONCantHold(t *testing.T) {
	t.Parallel()
	m := broker.StatusChanged(broker.ExecutionStatusChanged{ChangedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if _, err := m.Encode(); err == nil {
		t.Error("a year of five digits was encoded")
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const good = `{"message_id":"m","message_type":"ExecutionScheduled","version":"1.0",` +
		`"payload":{"execution_id":42,"attempt":1,"worker_id":7,"incarnation":3}}`
	if _, err := broker.Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	const status = `{"message_id":"m","message_type":"ExecutionStatusChanged","version":"1.0","payload":` +
		`{"execution_id":1,"action_ref":"a.b","attempt":1,"previous_status":"running","new_status":"done"}}`
	const follow = `{"message_id":"m","message_type":"OutputRequested","version":"1.0","payload":` +
		`{"execution_id":1,"attempt":1,"stream":"stdout","reply_to":"a","request":1}}`
	if _, err := broker.Decode([]byte(follow)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ body, want string }{
		{strings.Replace(follow, `"stdout"`, `"stdin"`, 1), `stream "stdin" is neither stdout nor stderr`},
		{strings.Replace(follow, `"a"`, `"a.b"`, 1), `reply_to "a.b" is not the name of a server`},
		{strings.Replace(follow, `"request":1`, `"request":1,"offset":-1`, 1), "offset is -1"},
		{"", "EOF"},
		{"\x00\xff", "invalid character"},
		{"null", "version"},
		{"[]", "cannot unmarshal array"},
		{good + "{}", "follows the JSON document"},
		{good[:len(good)-1], "unexpected EOF"},
		{strings.Replace(good, `"1.0"`, `"1.1"`, 1), `version "1.1", want "1.0"`},
		{strings.Replace(good, `"message_id":"m",`, ``, 1), "message_id is missing"},
		{strings.Replace(good, `"message_id"`, `"id":1,"message_id"`, 1), `unknown field "id"`},
		{strings.Replace(good, "ExecutionScheduled", "ExecutionLost", 1), `unknown message_type "ExecutionLost"`},
		{strings.Replace(good, `"attempt":1`, `"attempt":"1"`, 1), "payload of ExecutionScheduled: json: cannot unmarshal string"},
		{strings.Replace(good, `"attempt":1`, `"attempt":0`, 1), "attempt is 0 or missing"},
		{strings.Replace(good, `"attempt":1,`, ``, 1), "attempt is 0 or missing"},
		{strings.Replace(good, `42`, `-42`, 1), "execution_id is -42"},
		{strings.Replace(good, `"attempt"`, `"try":1,"attempt"`, 1), `unknown field "try"`},
		{strings.Replace(status, "a.b", "", 1), "action_ref is missing"},
		{status, `new_status "done" is not a status`},
	} {
		_, err := broker.Decode([]byte(test.body))
		if !errors.Is(err, broker.ErrUnreadable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want ErrUnreadable with %q", test.body, err, test.want)
		}
	}
}

// FuzzDecode: any bytes are an envelope that can be sent again unchanged, or ErrUnreadable.
func FuzzDecode(f *testing.F) {
	for document := range contract {
		f.Add([]byte(document))
	}
	f.Add([]byte(`{"payload":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		envelope, err := broker.Decode(body)
		if err != nil {
			if !errors.Is(err, broker.ErrUnreadable) {
				t.Fatalf("got %v", err)
			}
			return
		}
		again, err := json.Marshal(envelope)
		if err != nil {
			t.Fatal(err)
		}
		second, err := broker.Decode(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if diff := cmp.Diff(envelope, second); diff != "" {
			t.Fatal(diff)
		}
	})
}
