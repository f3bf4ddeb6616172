package pack

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/attune-automation/attune"
)

// ReadParameters reads an object of parameters from what a user wrote, as JSON or YAML; file names it in errors. An
// empty file is an empty object. Numbers keep every digit. An error is an *attune.Error with the code CodeInvalid.
func ReadParameters(file string, content []byte) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(content)) == 0 {
		return all, nil
	}
	value, err := decodeJSON(content)
	if err != nil {
		value, err = decodeYAML(file, content)
	}
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok && value != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "%s: want keys and values, like {\"name\": \"value\"}", file)
	}
	for name, value := range object {
		if all[name], err = encodeJSON(value); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, name, err)
		}
	}
	return all, nil
}

func decodeYAML(file string, content []byte) (any, error) {
	r := &report{}
	var value any
	if root, ok := parseAny(r, file, content); ok && root.isMapping() {
		value = root.json()
	} else if ok {
		root.want("a mapping")
	}
	return value, r.err(file + " can't be read as parameters in JSON or YAML")
}
