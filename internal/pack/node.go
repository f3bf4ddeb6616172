package pack

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// node is a value of a metadata file that knows where it stands and can report what is wrong with it.
type node struct {
	yaml   *yaml.Node
	file   string
	report *report
}

// field is one key of a mapping with its value.
type field struct{ key, value node }

func (f field) name() string { return f.key.yaml.Value }

func (n node) child(y *yaml.Node) node { return node{y, n.file, n.report} }

// target follows an alias.
func (n node) target() node {
	for n.yaml.Kind == yaml.AliasNode && n.yaml.Alias != nil {
		n.yaml = n.yaml.Alias
	}
	return n
}

func (n node) place() place { return place{n.file, n.yaml.Line, n.yaml.Column} }

func (n node) fail(format string, args ...any) { n.report.fail(n.place(), format, args...) }

func (n node) warn(format string, args ...any) { n.report.warn(n.place(), format, args...) }

// tag returns the short YAML tag, like !!str.
func (n node) tag() string { return n.target().yaml.ShortTag() }

func (n node) isMapping() bool { return n.target().yaml.Kind == yaml.MappingNode }

func (n node) isList() bool { return n.target().yaml.Kind == yaml.SequenceNode }

func (n node) isNull() bool { return n.tag() == "!!null" }

// kind returns how people call the type of the value.
func (n node) kind() string {
	names := map[string]string{
		"!!map": "a mapping", "!!seq": "a list", "!!null": "nothing", "!!str": "a string", "!!timestamp": "a string",
		"!!bool": "a boolean", "!!int": "an integer", "!!float": "a number", "!!merge": "a merge key",
	}
	if name, ok := names[n.tag()]; ok {
		return name
	}
	return "a value tagged " + n.tag()
}

func (n node) want(what string) { n.fail("got %s, want %s", n.kind(), what) }

// fields returns the mapping's keys in the order of the file. It reports what is no mapping, keys that are no
// strings, and keys given twice.
func (n node) fields() []field {
	if !n.isMapping() {
		n.want("a mapping")
		return nil
	}
	content := n.target().yaml.Content
	first := make(map[string]int, len(content)/2)
	found := make([]field, 0, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		f := field{n.child(content[i]).target(), n.child(content[i+1])}
		if line, twice := first[f.name()]; twice {
			f.key.fail("key %q is given twice: first on line %d", f.name(), line)
			continue
		}
		if f.checkKey() {
			first[f.name()] = f.key.yaml.Line
			found = append(found, f)
		}
	}
	return found
}

func (f field) checkKey() bool {
	switch {
	case f.key.tag() == "!!merge":
		f.key.fail("merge keys (<<) are not supported: write the keys out")
	case f.key.yaml.Kind != yaml.ScalarNode:
		f.key.fail("%s as a key: keys are strings", f.key.kind())
	default:
		return true
	}
	return false
}

// items returns the elements of a list.
func (n node) items() []node {
	if !n.isList() {
		n.want("a list")
		return nil
	}
	var found []node
	for _, y := range n.target().yaml.Content {
		found = append(found, n.child(y))
	}
	return found
}

// isString tells whether the value is text. Dates are: JSON has none.
func (n node) isString() bool {
	t := n.tag()
	return n.target().yaml.Kind == yaml.ScalarNode && (t == "!!str" || t == "!!timestamp")
}

func (n node) text() (string, bool) {
	if !n.isString() {
		n.want("a string")
		return "", false
	}
	return n.target().yaml.Value, true
}

// scalar returns a string, number or boolean as it is written: version: 1.0 is meant as text.
func (n node) scalar() (string, bool) {
	switch n.tag() {
	case "!!int", "!!float", "!!bool":
		return n.target().yaml.Value, true
	}
	return n.text()
}

func (n node) boolean() (value, ok bool) {
	if n.tag() != "!!bool" {
		n.want("true or false")
		return false, false
	}
	err := n.target().yaml.Decode(&value)
	return value, err == nil
}

func (n node) integer() (int, bool) {
	number, ok := n.json().(json.Number)
	if !ok {
		n.want("an integer")
		return 0, false
	}
	value, err := strconv.Atoi(number.String())
	if err != nil {
		n.fail("%s is not an integer of a sensible size", number)
	}
	return value, err == nil
}

// json returns the value as encoding/json would with UseNumber. It reports what JSON can't hold.
func (n node) json() any {
	switch {
	case n.isMapping():
		object := map[string]any{}
		for _, f := range n.fields() {
			object[f.name()] = f.value.json()
		}
		return object
	case n.isList():
		list := []any{}
		for _, item := range n.items() {
			list = append(list, item.json())
		}
		return list
	}
	return n.jsonScalar()
}

func (n node) jsonScalar() any {
	text := n.target().yaml.Value
	switch n.tag() {
	case "!!str", "!!timestamp":
		return text
	case "!!null":
		return nil
	case "!!bool":
		value, _ := n.boolean()
		return value
	case "!!int", "!!float":
		number, err := n.number(text)
		if err != nil {
			n.fail("%v", err)
		}
		return number
	}
	n.fail("%s: JSON has no such values", n.kind())
	return nil
}

// number keeps every digit where the text is a JSON number already; else it is one of YAML's own forms (0x1F, 1_000).
func (n node) number(text string) (json.Number, error) {
	if isNumber(text) {
		return json.Number(text), checkNumber(text)
	}
	var value any
	if err := n.target().yaml.Decode(&value); err != nil {
		return "0", fmt.Errorf("%s is not a number", text)
	}
	switch value := value.(type) {
	case int:
		return json.Number(strconv.Itoa(value)), nil
	case int64, uint64:
		return json.Number(fmt.Sprint(value)), nil
	case float64:
		return floatNumber(value)
	}
	return "0", fmt.Errorf("%s is not a number", text)
}

func floatNumber(value float64) (json.Number, error) {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return "0", fmt.Errorf("%v is not a number that JSON can hold", value)
	}
	if value == math.Trunc(value) && math.Abs(value) < 1e300 {
		whole, _ := big.NewFloat(value).Int(nil)
		return json.Number(whole.String()), nil
	}
	return json.Number(strconv.FormatFloat(value, 'g', -1, 64)), nil
}
