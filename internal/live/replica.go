package live

import (
	"os"
	"sync"
	"time"

	"github.com/attune-automation/attune/internal/broker"
)

// replica is the copy of one log: always what the log begins with, and never anything else.
type replica struct {
	log  Log
	file *os.File

	mu      sync.Mutex
	changed chan struct{} // closed when anything below has
	have    int64         // bytes in the file
	size    int64         // of the log, as the worker said last
	heard   bool          // the worker has answered
	ended   bool          // the log will not grow any more, and all of it is here
	fault   error         // why nothing more can be added
	pending bool          // the worker has not answered the last request
	until   int64         // asked for
	lost    bool          // something that was on its way will not come
	asked   int64         // requests so far
	again   int64         // of the last one that began anew: what was sent before it may come with gaps
	last    time.Time     // when it was asked for
	came    time.Time     // when a part of it came, also one that was of no use
	readers int
	unread  time.Time // when the last reader has gone
}

func newReplica(log Log, file *os.File) *replica {
	return &replica{log: log, file: file, changed: make(chan struct{})}
}

// tell wakes the readers. The caller holds the lock.
func (r *replica) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// add takes a part, and tells whether more is to be asked for now.
func (r *replica) add(part broker.OutputWritten) (ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil || r.ended {
		return false
	}
	r.came = time.Now()
	if part.Offset > r.have { // parts come in order
		missed := part.Request >= r.again
		r.lost = r.lost || missed
		return missed
	}
	if known := r.have - part.Offset; known < int64(len(part.Data)) {
		n, err := r.file.WriteAt(part.Data[known:], r.have)
		r.have += int64(n)
		r.fault = err
	}
	r.heard, r.pending, r.size = true, false, max(r.size, part.Size)
	r.ended = part.Ended && r.have >= part.Size
	r.tell()
	return r.low()
}

// low tells whether more is to be asked for soon: a log that is written without a pause is never waited for.
func (r *replica) low() bool { return r.until-r.have < window/2 }

// lose notes that what was on its way may not come.
func (r *replica) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

// state tells whether the log is to be asked for now, and whether the copy is of no more use.
func (r *replica) state() (due, unread bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers == 0 && time.Since(r.unread) > linger {
		return false, true
	}
	if r.readers == 0 || r.ended || r.fault != nil {
		return false, false
	}
	since := time.Since(r.last)
	overdue := r.pending || r.have < min(r.size, r.until)
	if overdue && since > retry && time.Since(r.came) > retry {
		r.lost = true
	}
	return r.low() || r.lost || since > renewal, false
}

// request is what the worker is asked for now. A request that gets lost is repeated as one without an answer is.
func (r *replica) request(server string) broker.OutputRequested {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := r.lost
	if r.asked++; again {
		r.again = r.asked
	}
	r.until, r.lost, r.pending, r.last = r.have+window, false, true, time.Now()
	return broker.OutputRequested{
		ExecutionID: r.log.ExecutionID, Attempt: r.log.Attempt, Stream: r.log.Stream,
		ReplyTo: server, Request: r.asked, Offset: r.have, Until: r.until, Again: again,
	}
}

func (r *replica) join() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers++
}

func (r *replica) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers--
	r.unread = time.Now()
}

// close ends the copy; its readers get the reason.
func (r *replica) close(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil {
		r.fault = why
	}
	r.tell()
	_ = r.file.Close() // it has no name
}
