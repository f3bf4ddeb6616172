package cli

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/pack"
)

// parameters are those of --params, then those of the command line, typed by the action's schema.
func (a *app) parameters(
	ctx context.Context, c *client.Client, s client.Submission, assignments []string, file string,
) (json.RawMessage, error) {
	schema := pack.ScriptSchema()
	if s.Script == nil && len(assignments) > 0 {
		action, err := c.Action(ctx, s.Action)
		if err != nil {
			return nil, err
		}
		schema = action.Parameters
	}
	all, err := a.paramsFile(ctx, file)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, assignment := range assignments {
		name, value, err := a.parameter(ctx, schema, assignment)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, usage("%s is given twice: keep one", name)
		}
		seen[name] = true
		if all[name], err = json.Marshal(value); err != nil {
			return nil, usage("%s: %v", name, err)
		}
	}
	return json.Marshal(all)
}

// parameter reads key=value, key:=JSON or key=@file.
func (a *app) parameter(
	ctx context.Context, schema json.RawMessage, assignment string,
) (name string, value any, err error) {
	name, text, ok := strings.Cut(assignment, "=")
	if !ok || name == "" || name == ":" {
		return "", nil, usage("%q is not a parameter: write key=value, key:=JSON or key=@file", assignment)
	}
	if err := checkText(strings.TrimSuffix(name, ":"), text); err != nil {
		return "", nil, err
	}
	if raw, isJSON := strings.CutSuffix(name, ":"); isJSON {
		if !json.Valid([]byte(text)) {
			return "", nil, usage("%s: the value is not JSON: write %s:=[1,2] or, for a string, %s=text", raw, raw, raw) // nor shown: it may be a secret
		}
		return raw, json.RawMessage(text), nil
	}
	if path, isPath := strings.CutPrefix(text, "@"); isPath {
		content, err := a.readInput(ctx, name, path)
		if err != nil {
			return "", nil, err
		}
		text = string(content)
		if err := checkText(name, text); err != nil {
			return "", nil, err
		}
	}
	value, err = pack.Convert(schema, name, text)
	return name, value, err
}

// checkText refuses what JSON can't hold: it would arrive as something else.
func checkText(what string, texts ...string) error {
	for _, text := range append(texts, what) {
		if !utf8.ValidString(text) {
			return usage("%s: not UTF-8: convert it, or encode it as text, like base64",
				strings.ToValidUTF8(what, string(utf8.RuneError)))
		}
	}
	return nil
}

// paramsFile reads an object of parameters, as JSON or YAML; "" is none.
func (a *app) paramsFile(ctx context.Context, path string) (map[string]json.RawMessage, error) {
	if path == "" {
		return map[string]json.RawMessage{}, nil
	}
	content, err := a.readInput(ctx, "--params", path)
	if err != nil {
		return nil, err
	}
	return pack.ReadParameters(path, content)
}
