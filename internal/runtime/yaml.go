package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"

	"go.yaml.in/yaml/v4"
)

// maxYAMLDepth bounds nesting, which an alias to its own parent makes endless.
const maxYAMLDepth = 200

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// yamlToJSON turns one YAML document into JSON of at most limit bytes. It works on nodes to keep order and every digit
// of a number. Aliases are written out, as far as the limit allows: a bomb ends there.
func yamlToJSON(text []byte, limit int64) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Load(text, &node); err != nil {
		return nil, fmt.Errorf("stdout is not one YAML document: %w", err)
	}
	w := jsonWriter{limit: limit}
	if err := w.node(&node, 0); err != nil {
		return nil, err
	}
	return w.out, nil
}

type jsonWriter struct {
	out   []byte
	limit int64
}

func (w *jsonWriter) node(n *yaml.Node, depth int) error {
	if int64(len(w.out)) > w.limit {
		return &tooLargeError{source: "the YAML on stdout", limit: w.limit}
	}
	if depth > maxYAMLDepth {
		return fmt.Errorf("the YAML on stdout is nested deeper than %d levels", maxYAMLDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return w.node(n.Content[0], depth)
	case yaml.AliasNode:
		return w.node(n.Alias, depth+1)
	case yaml.SequenceNode:
		return w.sequence(n, depth+1)
	case yaml.MappingNode:
		return w.mapping(n, depth+1)
	}
	return w.scalar(n)
}

func (w *jsonWriter) sequence(n *yaml.Node, depth int) error {
	w.out = append(w.out, '[')
	for i, item := range n.Content {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.node(item, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *jsonWriter) mapping(n *yaml.Node, depth int) error {
	w.out = append(w.out, '{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return fmt.Errorf("line %d of the YAML on stdout: a key is a plain word, and << is not supported", key.Line)
		}
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.text(key.Value)
		w.out = append(w.out, ':')
		if err := w.node(n.Content[i+1], depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

func (w *jsonWriter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.out = append(w.out, "null"...)
	case "!!bool":
		var value bool
		if err := n.Decode(&value); err != nil {
			return fmt.Errorf("line %d of the YAML on stdout: %w", n.Line, err)
		}
		w.out = fmt.Append(w.out, value)
	case "!!int", "!!float":
		number, err := plainNumber(n)
		if err != nil {
			return fmt.Errorf("line %d of the YAML on stdout: %w", n.Line, err)
		}
		w.out = append(w.out, number...)
	default:
		w.text(n.Value)
	}
	return nil
}

func (w *jsonWriter) text(s string) {
	// A string always marshals.
	quoted, _ := json.Marshal(s)
	w.out = append(w.out, quoted...)
}

// plainNumber keeps what JSON would write alike and translates the other forms (0x1f, 1_000, .5).
func plainNumber(n *yaml.Node) ([]byte, error) {
	if jsonNumber.MatchString(n.Value) {
		return []byte(n.Value), nil
	}
	if whole, ok := new(big.Int).SetString(n.Value, 0); ok && n.ShortTag() == "!!int" {
		return whole.Append(nil, 10), nil
	}
	var value float64
	if err := n.Decode(&value); err != nil {
		return nil, err
	}
	number, err := json.Marshal(value)
	if err != nil {
		return nil, errors.New(n.Value + " has no form in JSON")
	}
	return number, nil
}
