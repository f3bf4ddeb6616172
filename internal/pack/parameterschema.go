package pack

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// The keywords that a normalised schema has beyond JSON Schema, for those who make a form of it.
const (
	orderKeyword    = "x-order"    // of the whole: every parameter's name in the order for display
	positionKeyword = "x-position" // of a parameter: its position as given
	secretKeyword   = "x-secret"   // of a parameter: true if its value is for nobody's eyes
)

// noParameters is the schema of an action without parameters.
func noParameters() json.RawMessage {
	return json.RawMessage(`{"additionalProperties":false,"properties":{},"type":"object"}`)
}

// ScriptSchema is the schema of a script file, which says nothing of its parameters: it takes any.
func ScriptSchema() json.RawMessage {
	return json.RawMessage(`{"additionalProperties":true,"properties":{},"type":"object"}`)
}

// complete tells whether n is a whole JSON Schema and not a mapping of names: a parameter named type has a mapping.
func complete(n node) bool {
	for _, f := range n.target().fieldsQuietly() {
		if name := f.name(); (name == "type" || name == "$schema") && !f.value.isMapping() && !f.value.isNull() {
			return true
		}
	}
	return false
}

// fieldsQuietly is fields for another look, which reports nothing that the first one does.
func (n node) fieldsQuietly() []field {
	kept := n.report
	n.report = &report{}
	fields := n.fields()
	for i := range fields {
		fields[i].key.report, fields[i].value.report = kept, kept
	}
	return fields
}

// parameterReader reads the parameters of one action, in either form.
type parameterReader struct {
	schemas   *schemaReader
	required  []any
	positions map[string]int
	places    map[string]node // of each parameter's name
	order     []string
}

// readParameters returns the one complete JSON Schema that stands for the parameters in either form.
func readParameters(n node) json.RawMessage {
	if n.isNull() {
		return noParameters()
	}
	before := len(n.report.faults)
	p := &parameterReader{schemas: newSchemaReader(), positions: map[string]int{}, places: map[string]node{}}
	p.schemas.fills = true
	schema, flat := p.read(n)
	if len(n.report.faults) > before {
		return noParameters()
	}
	p.sort(schema)
	return check(n, schema, flat, "parameters")
}

func (p *parameterReader) read(n node) (schema map[string]any, flat bool) {
	if complete(n) {
		return p.readComplete(n), false
	}
	properties := map[string]any{}
	for _, f := range n.fields() {
		properties[f.name()] = p.property(f, true)
	}
	schema = map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(p.required) > 0 {
		schema["required"] = p.required
	}
	return schema, true
}

func (p *parameterReader) readComplete(n node) map[string]any {
	properties := map[string]any{}
	p.schemas.own = func(_ map[string]any, f field) bool {
		if f.isChildOf(n) && f.name() == "default" {
			f.key.fail("default has no effect here: give the parameters theirs")
			return true
		}
		if f.name() != "properties" || !f.isChildOf(n) {
			return false
		}
		for _, property := range f.value.fields() {
			properties[property.name()] = p.property(property, false)
		}
		return true
	}
	schema, _ := p.schemas.schema(n, true).(map[string]any)
	for _, f := range n.fieldsQuietly() {
		if f.name() == "type" && (!f.value.isString() || f.value.target().yaml.Value != "object") {
			f.value.fail("the schema of all parameters must have type: object")
		}
	}
	schema["properties"] = properties
	return schema
}

// property reads one parameter: a schema, and keywords of ours inline.
func (p *parameterReader) property(f field, flat bool) any {
	p.checkName(f)
	outer := p.schemas.own
	defer func() { p.schemas.own = outer }()
	if !f.value.isMapping() {
		f.value.fail("got %s, want the parameter's JSON Schema, like {type: string}", f.value.kind())
		return false
	}
	own := map[string]any{}
	value := f.value
	p.schemas.own = func(_ map[string]any, keyword field) bool {
		return keyword.isChildOf(value) && p.inline(own, f.name(), keyword, flat)
	}
	schema, ok := p.schemas.schema(f.value, true).(map[string]any)
	if !ok {
		return false
	}
	for name, value := range own {
		schema[name] = value
	}
	if _, ok := schema["default"]; ok && own[secretKeyword] == true {
		f.value.fail("the default of a secret parameter can be read by everybody who sees the pack: remove it, or secret: true")
	}
	return schema
}

func (f field) isChildOf(n node) bool { return slices.Contains(n.target().yaml.Content, f.key.yaml) }

// inline reads required (flat form only), position and secret.
func (p *parameterReader) inline(own map[string]any, name string, f field, flat bool) bool {
	switch f.name() {
	case "required":
		if !flat || f.value.isList() {
			return false
		}
		if required, _ := f.value.boolean(); required {
			p.required = append(p.required, name)
		}
	case "position":
		if position, ok := f.value.integer(); ok {
			p.checkPosition(f, name, position)
			own[positionKeyword] = position
		}
	case "secret":
		if secret, _ := f.value.boolean(); secret {
			own[secretKeyword] = true
		}
	default:
		return false
	}
	return true
}

func (p *parameterReader) checkPosition(f field, name string, position int) {
	if position < 0 || position > 1000 {
		f.value.fail("want a position from 0 to 1000")
	}
	for other, taken := range p.positions {
		if taken == position {
			f.value.fail("position %d is taken by %s", position, other)
		}
	}
	p.positions[name] = position
}

// checkName keeps names apart that would be one variable of an environment.
func (p *parameterReader) checkName(f field) {
	if err := attune.CheckParameterName(f.name()); err != nil {
		f.key.fail("%s", message(err))
	}
	upper := strings.ToUpper(f.name())
	if first, taken := p.places[upper]; taken {
		f.key.fail("%q and %q differ by case alone: both would be PARAM_%s", first.yaml.Value, f.name(), upper)
		return
	}
	p.places[upper] = f.key
	p.order = append(p.order, f.name())
}

// sort leaves the order for display in the schema: by position, then as in the file.
func (p *parameterReader) sort(schema map[string]any) {
	last := len(p.order) + 1001
	slices.SortStableFunc(p.order, func(a, b string) int {
		first, ok := p.positions[a]
		if !ok {
			first = last
		}
		second, ok := p.positions[b]
		if !ok {
			second = last
		}
		return cmp.Compare(first, second)
	})
	if len(p.order) > 0 {
		schema[orderKeyword] = p.order
	}
}
