package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/attune-automation/attune"
)

// fromStdout reads the result by the action's output_format.
func (t *Task) fromStdout(stdout *Tail) (json.RawMessage, error) {
	switch t.Action.OutputFormat {
	case attune.OutputText:
		return nil, nil
	case attune.OutputJSON:
		return t.jsonFrom(stdout)
	case attune.OutputYAML:
		return t.yamlFrom(stdout)
	case attune.OutputJSONL:
		return t.jsonlFrom(stdout)
	}
	return t.autoFrom(stdout)
}

// autoFrom takes the last line if it is a JSON object or array. A line too long to be read is not looked into, but one
// that ends like either of them is refused rather than silently left out.
func (t *Task) autoFrom(stdout *Tail) (json.RawMessage, error) {
	line, whole := stdout.lastLine()
	if len(line) == 0 {
		return nil, nil
	}
	last := line[len(line)-1]
	if !whole && (last == '}' || last == ']') {
		return nil, &tooLargeError{source: "the last line of stdout", limit: t.MaxResultBytes}
	}
	if !whole || line[0] != '{' && line[0] != '[' {
		return nil, nil
	}
	value, err := t.document("the last line of stdout", line)
	var tooLarge *tooLargeError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, nil // output_format auto promises nothing: it was a line of text
	}
	return value, err
}

// jsonFrom takes all of stdout, else its last line.
func (t *Task) jsonFrom(stdout *Tail) (json.RawMessage, error) {
	all, whole := stdout.end()
	if whole {
		value, err := t.document("stdout", all)
		if err == nil || !bytes.ContainsRune(all, '\n') {
			return value, err
		}
	}
	line, lineWhole := stdout.lastLine()
	value, err := t.document("the last line of stdout", line)
	if !lineWhole || err != nil && !whole { // it may have been one long document
		return nil, &tooLargeError{source: "stdout", limit: t.MaxResultBytes}
	}
	return value, err
}

func (t *Task) yamlFrom(stdout *Tail) (json.RawMessage, error) {
	all, whole := stdout.end()
	if !whole {
		return nil, &tooLargeError{source: "stdout", limit: t.MaxResultBytes}
	}
	if len(all) == 0 {
		return nil, errors.New("stdout is empty: output_format yaml promises one YAML document")
	}
	document, err := yamlToJSON(all, t.MaxResultBytes)
	if err != nil {
		return nil, err
	}
	return t.document("the YAML on stdout", document)
}

// jsonlFrom makes one array of the lines; blank ones don't count.
func (t *Task) jsonlFrom(stdout *Tail) (json.RawMessage, error) {
	all, whole := stdout.end()
	if !whole {
		return nil, &tooLargeError{source: "stdout", limit: t.MaxResultBytes}
	}
	array := []byte{'['}
	number := 0
	for line := range bytes.Lines(all) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		value, err := t.document(fmt.Sprintf("line %d of stdout", number), line)
		if err != nil {
			return nil, err
		}
		if len(array) > 1 {
			array = append(array, ',')
		}
		array = append(array, value...)
	}
	return t.document("stdout", append(array, ']'))
}
