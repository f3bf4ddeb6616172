package process

import (
	"fmt"
	"io"
	"time"
)

// Command is one program to be run.
type Command struct {
	ID     string    // names its record and its control group; unique among what runs: 42-1
	Path   string    // the program's file
	Args   []string  // without the program itself
	Env    []string  // NAME=value: all that it gets
	Dir    string    // working directory
	Stdin  []byte    // written while output is read; nil is an empty input
	Stdout io.Writer // gets what is written, in chunks of at most 32 KiB; must not fail
	Stderr io.Writer

	User    *User    // nil: our own
	Sandbox *Sandbox // nil: none
	Limits  Limits
	Check   func() error    // called now and then while it runs, and once afterwards; its error ends it at once. nil: none
	Timeout time.Duration   // 0: none
	Grace   time.Duration   // from SIGTERM to SIGKILL
	Hurry   <-chan struct{} // once closed, ends the grace; nil for never
}

// Stop is why we ended a command.
type Stop string

// The reasons for ending a command.
const (
	NotStopped Stop = ""
	TimedOut   Stop = "timeout"
	Cancelled  Stop = "cancelled"
	Exceeded   Stop = "exceeded" // its Check says so
)

// Exit is how a command ended. No process of it is left, but for Survivors.
type Exit struct {
	Waited     bool   // it ran, and its leader was waited for: what follows tells how it ended
	Code       int    // of the leader; -1 if a signal ended it
	Signal     string // SIGKILL; "" if it exited
	Stopped    Stop   // set only if we signalled before the leader had ended
	Cause      error  // of the context's end when Cancelled, what Check said when Exceeded
	CPU        time.Duration
	MaxRSS     int64    // bytes; the peak of the largest process, or of the leader if none exceeds our own memory
	Ended      string   // the last signal that was needed: SIGTERM, SIGKILL; "" if all ended by itself
	Killed     int      // processes that needed SIGKILL
	Survivors  []string // "pid (name)" of what even SIGKILL did not end in time: stuck in the kernel
	OutputHeld bool     // somebody outside of the family still held an output pipe, which was closed
	OOMKilled  int      // processes that the kernel killed because Limits.Memory was used up
	PeakMemory int64    // bytes that all had together at most; known only if OOMKilled
	Refused    int      // processes and threads that Limits.PIDs kept from being started
}

// StartError says that the command could not be started as it is described; nothing of it ran.
type StartError struct {
	Path string
	Err  error
}

// Error says which program could not be started.
func (e *StartError) Error() string { return fmt.Sprintf("start %s: %v", e.Path, e.Err) }

// Unwrap returns the operating system's error.
func (e *StartError) Unwrap() error { return e.Err }
