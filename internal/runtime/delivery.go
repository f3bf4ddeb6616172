package runtime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/attune-automation/attune"
)

// elsewhere tells an action's author where a value is that PARAM_NAME can't hold.
func elsewhere(t *Task) string {
	switch t.Action.Delivery {
	case attune.DeliverFile:
		return "read it from $" + envParamFile
	case attune.DeliverEnv:
		return "set parameter_delivery to stdin or file to get it"
	}
	return "read it from standard input"
}

// Deliver carries out the action's parameter_delivery but for env: it returns what goes to standard input, or writes
// the parameter file (0600) and names it in the environment.
func Deliver(t *Task, env *Environment) (stdin []byte, err error) {
	if t.Action.Delivery == attune.DeliverEnv {
		return nil, nil
	}
	document, err := t.Document(t.Action.Format)
	if err != nil || t.Action.Delivery != attune.DeliverFile {
		return document, err
	}
	name := filepath.Join(t.Dirs.Private, "parameters."+extension(t.Action.Format))
	if err := os.WriteFile(name, document, 0o600); err != nil {
		return nil, fmt.Errorf("write the parameter file of %s: %w", t.ID, err)
	}
	env.Set(envParamFile, name)
	return nil, nil
}

func extension(format attune.Format) string {
	switch format {
	case attune.FormatYAML:
		return "yaml"
	case attune.FormatDotenv:
		return "env"
	}
	return "json"
}

// Document returns the parameters as a document that ends in a newline. As dotenv they are NAME='value' lines that a
// shell may source: the name as the action spells it, single quotes in the value escaped as a shell needs it.
func (t *Task) Document(format attune.Format) ([]byte, error) {
	switch format {
	case attune.FormatYAML:
		return t.yamlDocument()
	case attune.FormatDotenv:
		return t.dotenvDocument()
	}
	var document bytes.Buffer
	if err := json.Compact(&document, t.Parameters); err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", t.ID, err)
	}
	document.WriteByte('\n')
	return document.Bytes(), nil
}

func (t *Task) dotenvDocument() ([]byte, error) {
	all, err := t.parameters()
	if err != nil {
		return nil, err
	}
	var document bytes.Buffer
	for _, p := range all {
		text, _ := p.Text()
		fmt.Fprintf(&document, "%s='%s'\n", p.Name, strings.ReplaceAll(text, "'", `'\''`))
	}
	return document.Bytes(), nil
}

func (t *Task) yamlDocument() ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(t.Parameters))
	dec.UseNumber()
	node, err := yamlNode(dec)
	if err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", t.ID, err)
	}
	document, err := yaml.Dump(node)
	if err != nil {
		return nil, fmt.Errorf("write the parameters of %s as YAML: %w", t.ID, err)
	}
	return document, nil
}

// yamlNode reads one JSON value. It builds nodes, not Go values, to keep order and every digit of a number.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		return yamlCollection(dec, v)
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// yamlCollection reads on after an opening bracket. A JSON object's names come as values of their own.
func yamlCollection(dec *json.Decoder, open json.Delim) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode}
	if open == '{' {
		node.Kind = yaml.MappingNode
	}
	for dec.More() {
		child, err := yamlNode(dec)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	_, err := dec.Token()
	return node, err
}
