package worker

import (
	"time"

	"github.com/attune-automation/attune"
)

// Ended is what may be told of an attempt that has ended to whoever counts.
type Ended struct {
	Status         attune.Status
	Took           time.Duration
	Stdout, Stderr attune.Output
	Masked         int64 // places in what it wrote and left
}

// State is how the worker is doing.
type State struct {
	Registered  bool // its row is there, and its queues are bound or were waited for
	Draining    bool
	Incarnation int64
	Slots       int
	Used        int
	Spool       int           // results that wait on this host for the database
	Silence     time.Duration // since the lease was renewed; 0 before it is registered
	Heartbeat   time.Duration // how often it is renewed
	Lapsing     bool          // the lease may be over soon: nothing new is taken
	Consuming   int           // of its two queues bring messages
	Short       []attune.Shortage
	Isolation   attune.Isolation
}

// State returns it, as of now.
func (w *Worker) State() State {
	s := State{
		Slots: w.slots.size, Used: w.slots.used(), Heartbeat: w.cfg.Heartbeat, Isolation: w.cfg.Isolation.Level, Spool: w.spool.size(),
		Consuming: int(w.consuming.Load()),
	}
	if short := w.shortOf.Load(); short != nil {
		s.Short = *short
	}
	select {
	case <-w.registered:
		s.Registered, s.Incarnation = true, w.incarnation
	default:
		return s
	}
	select {
	case <-w.draining:
		s.Draining = true
	default:
	}
	s.Silence, s.Lapsing = w.silence(), w.lapsing()
	return s
}
