package artifact

import "fmt"

// Error is a failed operation on a file of an execution. Unwrap leads to the system's error (fs.ErrNotExist,
// syscall.ENOSPC).
type Error struct {
	Op   string // what was attempted: create, write log, write result, collect, list, open, follow, delete, sweep
	Name string // the file, or the execution's directory
	Err  error
}

// Error returns "op name: cause".
func (e *Error) Error() string { return fmt.Sprintf("artifact: %s %s: %v", e.Op, e.Name, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Err: err}
}
