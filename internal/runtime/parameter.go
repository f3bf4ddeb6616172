package runtime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Parameter is one parameter of a task.
type Parameter struct {
	Name  string
	Value json.RawMessage // as written, compact
}

// Parameters returns a task's parameters in the order of the document.
func (t *Task) parameters() ([]Parameter, error) {
	dec := json.NewDecoder(bytes.NewReader(t.Parameters))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("parameters of %s are not a JSON object: %w", t.ID, orNil(err, open))
	}
	var all []Parameter
	for dec.More() {
		p, err := nextParameter(dec)
		if err != nil {
			return nil, fmt.Errorf("read the parameters of %s: %w", t.ID, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func orNil(err error, got json.Token) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("found %v", got)
}

func nextParameter(dec *json.Decoder) (Parameter, error) {
	name, err := dec.Token()
	if err != nil {
		return Parameter{}, err
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return Parameter{}, err
	}
	var value bytes.Buffer
	if err := json.Compact(&value, raw); err != nil {
		return Parameter{}, err
	}
	return Parameter{Name: fmt.Sprint(name), Value: value.Bytes()}, nil
}

// Text is the value as an environment holds it: a string itself, null as nothing, everything else as JSON, numbers as
// they were written. ok is false if the value has no such form: it holds a NUL, or half a surrogate pair, which
// UTF-8 can't express.
func (p Parameter) Text() (text string, ok bool) {
	switch {
	case string(p.Value) == "null":
		return "", true
	case p.Value[0] != '"':
		return string(p.Value), true
	}
	if err := json.Unmarshal(p.Value, &text); err != nil {
		return "", false
	}
	return text, !strings.ContainsRune(text, 0) && !p.lostSurrogate(text)
}

// lostSurrogate tells whether decoding put U+FFFD where the document has none.
func (p Parameter) lostSurrogate(text string) bool {
	const replacement = "\uFFFD"
	written := strings.Count(string(p.Value), replacement) + strings.Count(strings.ToLower(string(p.Value)), `\ufffd`)
	return strings.Count(text, replacement) > written
}
