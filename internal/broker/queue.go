package broker

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/attune-automation/attune"
)

// workerQueueExpiry is how long the queues of a worker that is away keep its messages. The rows are still there
// after it.
const workerQueueExpiry = 24 * time.Hour

// SchedulerQueue is the one queue that all schedulers share: what there is to place, and each end of an execution,
// which frees a slot.
func SchedulerQueue(prefetch int) Subscription {
	keys := []string{keyRequested}
	for _, status := range attune.Statuses() {
		if status.Final() {
			keys = append(keys, keyStatus+string(status))
		}
	}
	return Subscription{Queue: "attune.scheduler", Keys: keys, Prefetch: prefetch}
}

// WorkerQueue is where a worker is told what to claim.
func WorkerQueue(workerID int64, prefetch int) Subscription {
	id := strconv.FormatInt(workerID, 10)
	return Subscription{
		Queue: "worker." + id + ".executions", Keys: []string{keyScheduled + id},
		Prefetch: prefetch, Expires: workerQueueExpiry,
	}
}

// WorkerControlQueue is where a worker is told what to cancel. It is a queue of its own, because cancelling must not
// wait behind executions that wait for a slot.
func WorkerControlQueue(workerID int64, prefetch int) Subscription {
	id := strconv.FormatInt(workerID, 10)
	return Subscription{
		Queue: "worker." + id + ".control", Keys: []string{keyCancel + id},
		Prefetch: prefetch, Expires: workerQueueExpiry,
	}
}

// ServerQueue is a server's own queue of all changes of status, for its live pages. Each call names a new one.
func ServerQueue(prefetch int) Subscription {
	return Subscription{
		Queue: "attune.server." + uuid.NewString(), Keys: []string{keyStatus + "*"},
		Prefetch: prefetch, Exclusive: true,
	}
}

// EventsQueue is a server's own queue of all that its readers of events are told: what ServerQueue brings, and what is
// submitted and placed. Each call names a new one.
func EventsQueue(prefetch int) Subscription {
	return Subscription{
		Queue: "attune.events." + uuid.NewString(), Keys: []string{keyRequested, keyScheduled + "*", keyStatus + "*"},
		Prefetch: prefetch, Exclusive: true,
	}
}

// FollowQueue is where a worker is asked for output. Each call names a new one: what was asked while the worker was away
// is asked again if anybody still reads.
func FollowQueue(workerID int64, prefetch int) Subscription {
	id := strconv.FormatInt(workerID, 10)
	return Subscription{
		Queue: "worker." + id + ".follow." + uuid.NewString(), Keys: []string{keyFollow + id},
		Prefetch: prefetch, Exclusive: true,
	}
}

// OutputQueue is where the server of this name gets the output that it has asked for.
func OutputQueue(server string, prefetch int) Subscription {
	return Subscription{
		Queue: "attune.output." + server, Keys: []string{keyOutput + server}, Prefetch: prefetch, Exclusive: true,
	}
}
