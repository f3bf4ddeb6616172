package local

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/attune-automation/attune/internal/runtime"
)

// What the first line of the runner's value file says about the rest.
const (
	valueLine   = "value"
	invalidLine = "invalid"
	setupLine   = "setup"
)

// valueSlack is what a value file may have beside the value: its first line, and a byte that shows it is too large.
const valueSlack = 1 << 10

// returned reads what the runner left at path: nothing if the action is no function, or did not return. The error is a
// *SetupError by which the runner refused the action. The place is the action's to write, so whatever else is there is
// a value that can't be read, not an error of ours.
func returned(path string, limit int64) (runtime.Returned, error) {
	if path == "" {
		return runtime.Returned{}, nil
	}
	content, err := readValue(path, limit+valueSlack)
	if errors.Is(err, fs.ErrNotExist) {
		return runtime.Returned{}, nil
	}
	if err != nil {
		why := "what the function returned can't be read: " + err.Error()
		return runtime.Returned{Invalid: why}, nil //nolint:nilerr // the action's fault, and told as such
	}
	line, text, _ := bytes.Cut(content, []byte("\n"))
	switch string(line) {
	case valueLine:
		return runtime.Returned{Value: text}, nil
	case invalidLine:
		return runtime.Returned{Invalid: string(text)}, nil
	case setupLine:
		return runtime.Returned{}, runtime.Setupf("%s", text)
	}
	return runtime.Returned{Invalid: "the action overwrote what its function returned"}, nil
}

func readValue(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only
	return io.ReadAll(io.LimitReader(file, limit))
}
