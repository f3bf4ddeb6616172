package broker_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/broker/inproc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestQueuesGetWhatConcernsThem publishes one of each message to the real queues, and looks who got what.
func TestQueuesGetWhatConcernsThem(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{})
	messages := []broker.Message{
		broker.Requested(broker.ExecutionRequested{ExecutionID: 1, ActionRef: "core.echo"}),
		broker.Scheduled(broker.ExecutionScheduled{ExecutionID: 1, Attempt: 1, WorkerID: 7, Incarnation: 1}),
		broker.CancelRequested(7, broker.ExecutionCancelRequested{ExecutionID: 1, Attempt: 1}),
		broker.FollowOutput(7, broker.OutputRequested{ExecutionID: 1, Attempt: 1, Stream: attune.Stdout, ReplyTo: "s", Request: 1}),
		broker.SendOutput("s", broker.OutputWritten{ExecutionID: 1, Attempt: 1, Stream: attune.Stdout, Request: 1}),
	}
	var ends, changes []string
	for _, status := range attune.Statuses() {
		m := broker.StatusChanged(broker.ExecutionStatusChanged{ExecutionID: 1, Attempt: 1, NewStatus: status})
		messages = append(messages, m)
		changes = append(changes, m.RoutingKey)
		if status.Final() {
			ends = append(ends, m.RoutingKey)
		}
	}
	for _, test := range []struct {
		subscription broker.Subscription
		queue        string // "" if it is new each time
		want         []string
	}{
		{broker.SchedulerQueue(1), "attune.scheduler", slices.Concat([]string{"execution.requested"}, ends)},
		{broker.WorkerQueue(7, 1), "worker.7.executions", []string{"execution.scheduled.7"}},
		{broker.WorkerQueue(70, 1), "worker.70.executions", nil},
		{broker.WorkerControlQueue(7, 1), "worker.7.control", []string{"execution.cancel.7"}},
		{broker.WorkerControlQueue(70, 1), "worker.70.control", nil},
		{broker.ServerQueue(1), "", changes},
		{broker.EventsQueue(1), "", slices.Concat([]string{"execution.requested", "execution.scheduled.7"}, changes)},
		{broker.FollowQueue(7, 1), "", []string{"execution.follow.7"}},
		{broker.FollowQueue(70, 1), "", nil},
		{broker.OutputQueue("s", 1), "attune.output.s", []string{"execution.output.s"}},
		{broker.OutputQueue("t", 1), "attune.output.t", nil},
	} {
		if test.queue != "" && test.subscription.Queue != test.queue {
			t.Errorf("queue %s, want %s", test.subscription.Queue, test.queue)
		}
		got := received(t, b, test.subscription, messages)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s got: %s", test.subscription.Queue, diff)
		}
	}
	if one, other := broker.ServerQueue(1), broker.ServerQueue(1); one.Queue == other.Queue {
		t.Error("two servers would share a queue")
	}
}

// received returns the routing keys of messages that reach the queue, up to a last message that always does.
func received(t *testing.T, b broker.Broker, s broker.Subscription, messages []broker.Message) []string {
	t.Helper()
	const last = "last"
	s.Keys = append(slices.Clone(s.Keys), last)
	s.Ready = func() {
		for _, m := range append(slices.Clone(messages), broker.Message{RoutingKey: last, Mandatory: true}) {
			m.Mandatory = m.RoutingKey == last
			if err := b.Publish(t.Context(), m); err != nil {
				t.Errorf("publish %s: %v", m.RoutingKey, err)
			}
		}
	}
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	var keys []string
	err := b.Consume(ctx, s, func(_ context.Context, d broker.Delivery) {
		if err := d.Ack(); err != nil {
			t.Errorf("ack %s: %v", d.RoutingKey, err)
		}
		if d.RoutingKey == last {
			stop(nil)
			return
		}
		keys = append(keys, d.RoutingKey)
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
