package cli

import (
	"encoding/json"
	"io"
	"os"

	"go.yaml.in/yaml/v4"
)

// maxParamsBytes bounds what --params reads; the API accepts less.
const maxParamsBytes = 8 << 20

// paramsFile reads an object of parameters, as JSON or YAML; "" is none.
func (a *app) paramsFile(path string) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if path == "" {
		return all, nil
	}
	content, err := a.readInput(path)
	if err != nil {
		return nil, usage("--params: %v", err)
	}
	if len(content) > maxParamsBytes {
		return nil, usage("--params %s: larger than %d bytes", path, maxParamsBytes)
	}
	// JSON first: what YAML makes of it would lose the digits of large numbers.
	if err := json.Unmarshal(content, &all); err == nil {
		return all, nil
	}
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, usage("--params %s: neither JSON nor YAML with keys and values: %v", path, err)
	}
	for name, value := range document {
		if all[name], err = json.Marshal(value); err != nil {
			return nil, usage("--params %s: %s: %v", path, name, err)
		}
	}
	return all, nil
}

func (a *app) readInput(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(a.Stdin, maxParamsBytes+1))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	return io.ReadAll(io.LimitReader(f, maxParamsBytes+1))
}
