package attune

import "time"

// WorkerStatus is the state of a worker.
type WorkerStatus string

// The states of a worker.
const (
	WorkerActive   WorkerStatus = "active"   // takes executions
	WorkerCordoned WorkerStatus = "cordoned" // takes nothing new, until it is uncordoned
	WorkerDraining WorkerStatus = "draining" // takes nothing new, ends when what it runs has ended
	WorkerInactive WorkerStatus = "inactive" // has deregistered
	WorkerLost     WorkerStatus = "lost"     // silent past its lease
)

// WorkerTypeLocal is the type of worker that runs processes on its own host.
const WorkerTypeLocal = "local"

// Worker is a process that runs executions. Its row and id stay the same over restarts; each start is a new
// incarnation.
type Worker struct {
	ID            int64             `json:"id"`
	Name          string            `json:"name"`
	Status        WorkerStatus      `json:"status"`
	Incarnation   int64             `json:"incarnation"`
	Type          string            `json:"worker_type"`
	Host          string            `json:"host"`
	Runtimes      []Runtime         `json:"runtimes"`
	Labels        map[string]string `json:"labels"`
	Slots         int               `json:"slots"`
	SlotsUsed     int               `json:"slots_used"`
	LastHeartbeat time.Time         `json:"last_heartbeat"`
}

// Runtime is a capability of a worker: a runtime that it can run actions in, as detected.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path,omitempty"` // the interpreter's real file
}
