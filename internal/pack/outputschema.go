package pack

import "encoding/json"

// readOutput returns the JSON Schema of a result: the flat form promises an object that has these properties and may
// have others.
func readOutput(n node) json.RawMessage {
	if n.isNull() {
		return nil
	}
	before := len(n.report.faults)
	schema, flat := outputSchema(n, newSchemaReader())
	if len(n.report.faults) > before {
		return nil
	}
	return check(n, schema, flat, "output")
}

func outputSchema(n node, s *schemaReader) (schema any, flat bool) {
	if complete(n) {
		return s.schema(n, false), false
	}
	properties, required := map[string]any{}, []any{}
	for _, f := range n.fields() {
		if !f.value.isMapping() {
			f.value.fail("got %s, want the property's JSON Schema, like {type: string}", f.value.kind())
			continue
		}
		s.own = func(_ map[string]any, keyword field) bool {
			if !keyword.isChildOf(f.value) || keyword.value.tag() != "!!bool" {
				return false
			}
			value, _ := keyword.value.boolean()
			switch {
			case keyword.name() == "required" && value:
				required = append(required, f.name())
			case keyword.name() == "secret" && value:
				keyword.key.fail("secret results are not supported in this version: remove secret: true")
			}
			return keyword.name() == "required" || keyword.name() == "secret"
		}
		properties[f.name()] = s.schema(f.value, false)
	}
	object := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		object["required"] = required
	}
	return object, true
}
