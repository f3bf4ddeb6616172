package config

import (
	"fmt"
	"iter"

	"go.yaml.in/yaml/v4"
)

// value is a node of the file, with the file's name.
type value struct {
	node *yaml.Node
	file string
}

// valueOf follows an alias to what it stands for.
func valueOf(node *yaml.Node, file string) value {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	return value{node, file}
}

// pair is a key of a mapping and its value.
type pair struct {
	name  string
	key   *yaml.Node
	value value
}

func (p pair) place() string  { return fmt.Sprintf("%s:%d:%d", p.value.file, p.key.Line, p.key.Column) }
func (v value) place() string { return fmt.Sprintf("%s:%d:%d", v.file, v.node.Line, v.node.Column) }
func (v value) null() bool    { return v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// holdsKeys tells a mapping that is not empty.
func (v value) holdsKeys() bool { return v.node.Kind == yaml.MappingNode && len(v.node.Content) > 0 }

// pairs walks a mapping. What is no mapping, and keys that come twice, go to faults.
func (v value) pairs(name string, faults *faults) iter.Seq[pair] {
	return func(yield func(pair) bool) {
		if v.null() {
			return
		}
		if v.node.Kind != yaml.MappingNode {
			what := "the file"
			if name != "" {
				what = "section " + name
			}
			faults.add(v.place(), "%s must hold keys and values", what)
			return
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			p := pair{v.node.Content[i].Value, v.node.Content[i], valueOf(v.node.Content[i+1], v.file)}
			if seen[p.name] {
				faults.add(p.place(), "%s stands here twice: keep one", p.name)
				continue
			}
			seen[p.name] = true
			if !yield(p) {
				return
			}
		}
	}
}

func (v value) scalar() (string, error) {
	if v.node.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("must be one value, not a list or a mapping")
	}
	return v.node.Value, nil
}

// strings reads a mapping of scalars.
func (v value) strings() (map[string]string, error) {
	nested := &faults{}
	all := map[string]string{}
	for p := range v.pairs("", nested) {
		text, err := p.value.scalar()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all[p.name] = text
	}
	return all, nested.err()
}
