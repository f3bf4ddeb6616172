package scheduler

import (
	"context"

	"github.com/attune-automation/attune/internal/broker"
)

// listenPrefetch bounds the wake-ups in flight; they are acknowledged as they come.
const listenPrefetch = 100

// listen wakes assign: there is something new to place, or an execution has ended and left a slot. Of a message it
// needs only that it came; an unreadable one goes to the dead letters.
func (s *Scheduler) listen(ctx context.Context) error {
	queue := broker.SchedulerQueue(listenPrefetch)
	queue.Ready = s.Wake // what came before the queue was there is found in the table
	return s.cfg.Broker.Consume(ctx, queue, func(_ context.Context, d broker.Delivery) {
		envelope, err := d.Open()
		if err != nil {
			s.log.Error("message rejected", "queue", queue.Queue, "error", err)
			return
		}
		s.cfg.Heard(envelope.Payload)
		s.Wake()
		if err := d.Ack(); err != nil {
			s.log.Debug("wake-up not acknowledged, it comes again", "error", err)
		}
	})
}

// Wake makes the scheduler look at the table now.
func (s *Scheduler) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}
