package pack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// maxKeys bounds the keys of one action.
const maxKeys = 100

// secrets reads the names of the keys that an action may have.
func (n node) secrets() []string {
	var names []string
	taken := map[string]string{}
	for _, item := range n.items() {
		name, ok := item.text()
		if !ok {
			continue
		}
		if err := attune.CheckKeyName(name); err != nil {
			item.fail("%s", message(err))
			continue
		}
		variable := attune.SecretVariable(name)
		if first, twice := taken[variable]; twice {
			item.fail("%q and %q would both be %s: give one of them", first, name, variable)
			continue
		}
		taken[variable] = name
		names = append(names, name)
	}
	if len(names) > maxKeys {
		n.fail("got %d keys, want at most %d", len(names), maxKeys)
	}
	return names
}

// secretParameters returns the names of the parameters that a schema marks as secret, sorted.
func secretParameters(schema json.RawMessage) ([]string, error) {
	if !strings.Contains(string(schema), secretKeyword) { // the usual case
		return nil, nil
	}
	var marked struct {
		Properties map[string]struct {
			Secret bool `json:"x-secret"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(schema, &marked); err != nil {
		return nil, fmt.Errorf("parameter schema: %w", err)
	}
	var names []string
	for name, property := range marked.Properties {
		if property.Secret {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Hide takes the values of secret parameters out of an object of parameters: in shown the mask stands in their place, and
// hidden is an object of them, nil if none was given.
func Hide(schema, given json.RawMessage) (shown, hidden json.RawMessage, err error) {
	names, err := secretParameters(schema)
	if err != nil || names == nil {
		return given, nil, err
	}
	var all, secret map[string]json.RawMessage
	if err := json.Unmarshal(given, &all); err != nil {
		return nil, nil, fmt.Errorf("parameters: %w", err)
	}
	for _, name := range names {
		value, ok := all[name]
		if !ok || string(value) == "null" { // that nothing was given is no secret
			continue
		}
		if secret == nil {
			secret = map[string]json.RawMessage{}
		}
		secret[name], all[name] = value, masked
	}
	if secret == nil {
		return given, nil, nil
	}
	if shown, err = encodeJSON(all); err == nil {
		hidden, err = encodeJSON(secret)
	}
	return shown, hidden, err
}

var masked = json.RawMessage(`"` + attune.Mask + `"`)

// Reveal puts the values of secret parameters back where Hide has taken them.
func Reveal(shown, hidden json.RawMessage) (json.RawMessage, error) {
	if hidden == nil {
		return shown, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(shown, &all); err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	if err := json.Unmarshal(hidden, &all); err != nil { // into the same map: they replace the masks
		return nil, fmt.Errorf("secret parameters: %w", err)
	}
	return encodeJSON(all)
}
