package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"unicode/utf8"

	"github.com/attune-automation/attune"
)

// Returned is what a function gave back, in the runtimes that call one. The zero value: there was no function.
type Returned struct {
	Value   json.RawMessage // nil: no function returned
	Invalid string          // why what it returned is not JSON
}

// ReadResult finds an attempt's result: what the result file holds, else what the function returned, else what the
// action's output_format finds in stdout. A function that returned nothing (null) leaves it to stdout, and to null if
// nothing is there. The value is nil if there is none; the failure is set if a result was promised, by a result file,
// a value, an output_format of json, yaml or jsonl, or an output schema, and can't be read, is too large or is not
// what was promised.
func ReadResult(t *Task, returned Returned, stdout *Tail) (json.RawMessage, *attune.Failure) {
	value, err := readResult(t, returned, stdout)
	if err == nil {
		err = t.checkResult(value)
	}
	var tooLarge *tooLargeError
	switch {
	case err == nil:
		return value, nil
	case errors.As(err, &tooLarge):
		return nil, &attune.Failure{Kind: attune.FailureResultTooLarge, Message: err.Error()}
	}
	return nil, &attune.Failure{Kind: attune.FailureResultInvalid, Message: err.Error()}
}

// checkResult holds a result against what the action promises. No result counts as null.
func (t *Task) checkResult(value json.RawMessage) error {
	if t.CheckResult == nil {
		return nil
	}
	if value == nil {
		value = json.RawMessage("null")
	}
	return t.CheckResult(value)
}

// resultFileName is what messages call it.
const resultFileName = "the result file ($" + envResult + ")"

type tooLargeError struct {
	source string
	limit  int64
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than the %d bytes of worker.max_result_bytes: leave it in $ATTUNE_ARTIFACTS_DIR instead",
		e.source, e.limit)
}

func readResult(t *Task, returned Returned, stdout *Tail) (json.RawMessage, error) {
	file, found, err := t.readResultFile()
	switch {
	case err != nil:
		return nil, err
	case found:
		return t.document(resultFileName, file)
	case returned.Invalid != "":
		return nil, errors.New(returned.Invalid)
	case returned.Value == nil:
		return t.fromStdout(stdout)
	case string(returned.Value) != "null":
		return t.document("what the function returned", returned.Value)
	}
	if text, _ := stdout.end(); len(text) == 0 {
		return returned.Value, nil
	}
	return t.fromStdout(stdout)
}

// readResultFile reads at most one byte more than a result may have. The action owns the place and may have left
// anything there, so a link or a FIFO is refused instead of opened.
func (t *Task) readResultFile() (content []byte, found bool, err error) {
	file, err := os.OpenFile(t.ResultFile(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s can't be read: %w", resultFileName, err)
	}
	defer func() { _ = file.Close() }() // read only
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a regular file", resultFileName)
	}
	content, err = io.ReadAll(io.LimitReader(file, t.MaxResultBytes+tailSlack))
	if err != nil {
		return nil, false, fmt.Errorf("%s can't be read: %w", resultFileName, err)
	}
	return content, true, nil
}

// document checks and compacts one JSON document. Its bytes stay as they are: big integers keep their digits.
func (t *Task) document(source string, text []byte) (json.RawMessage, error) {
	text = bytes.TrimSpace(text)
	switch {
	case int64(len(text)) > t.MaxResultBytes:
		return nil, &tooLargeError{source: source, limit: t.MaxResultBytes}
	case len(text) == 0:
		return nil, fmt.Errorf("%s is empty: a result is one JSON document", source)
	case !utf8.Valid(text):
		return nil, fmt.Errorf("%s is not valid UTF-8, so it is not JSON", source)
	}
	var value bytes.Buffer
	if err := json.Compact(&value, text); err != nil {
		return nil, fmt.Errorf("%s is not JSON: %w", source, err)
	}
	return value.Bytes(), nil
}
