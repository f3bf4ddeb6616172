package attune

import (
	"slices"
	"strings"
	"time"
)

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
	ShortOf       []Shortage        `json:"short_of,omitempty"` // while there are any, it takes nothing new
}

// Resource is something of a host that executions share with everything else there.
type Resource string

// The resources of a host that a worker watches.
const (
	ResourceDisk      Resource = "disk"
	ResourceInodes    Resource = "inodes"
	ResourceMemory    Resource = "memory"
	ResourceOpenFiles Resource = "open_files"
)

// Shortage says that less of a resource is free than a worker is told to leave free.
type Shortage struct {
	Resource Resource `json:"resource"`
	Where    string   `json:"where"` // the directory, or whose it is
	Free     int64    `json:"free"`  // when it was noticed; bytes of disk and memory, else a number
	Least    int64    `json:"least"` // that is to be free: worker.min_free
}

// ShortOfText names what shortages are of, each once.
func ShortOfText(shortages []Shortage) string {
	var names []string
	for _, s := range shortages {
		if name := strings.ReplaceAll(string(s.Resource), "_", " "); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Same tells whether two are of the same thing: of one resource, on one file system if it is one of those.
func (s Shortage) Same(other Shortage) bool {
	of := s.Resource == ResourceMemory || s.Resource == ResourceOpenFiles
	return s.Resource == other.Resource && (of || s.Where == other.Where)
}

// Runtime is a capability of a worker: a runtime that it can run actions in, as detected.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path,omitempty"` // the interpreter's real file
}
