package pack

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/attune-automation/attune"
)

// Convert returns the value of key=text on a command line, in the type that the schema of the action gives the
// parameter: a bool, json.Number, string, nil, or a decoded array or object. Of several types the first one that the
// text can be is taken, in the order null, boolean, integer, number, array, object, string. A parameter without a type
// is a string. Whether the value fits the rest of its schema is for Parameters to say.
func Convert(schema json.RawMessage, key, text string) (any, error) {
	document, err := decodeJSON(schema)
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "the schema: %v", err)
	}
	property, err := propertySchema(document, key)
	if err != nil {
		return nil, err
	}
	types := typesOf(document, property, 0)
	if len(types) == 0 {
		return text, nil
	}
	for _, kind := range []string{"null", "boolean", "integer", "number", "array", "object", "string"} {
		if value, ok := as(kind, text); ok && types[kind] {
			return value, nil
		}
	}
	return nil, &attune.Error{Code: attune.CodeInvalid, Message: "the parameters are not valid",
		Details: []attune.Detail{{Place: "parameters." + key, Message: "want " + wanted(types)}}}
}

// propertySchema returns the schema of one parameter, nil if any is possible.
func propertySchema(document any, key string) (any, error) {
	properties, _ := member(document, "properties")
	if property, ok := member(properties, key); ok {
		return property, nil
	}
	additional, _ := member(document, "additionalProperties")
	if additional != false {
		return additional, nil
	}
	object, _ := properties.(map[string]any)
	return nil, &attune.Error{Code: attune.CodeInvalid, Message: "the parameters are not valid",
		Details: []attune.Detail{{Place: "parameters." + key,
			Message: unknown("parameter", key, slices.Sorted(maps.Keys(object)))}}}
}

// typesOf returns the types that a schema names, itself or by reference, alternatives, enum or const.
func typesOf(document, schema any, depth int) map[string]bool {
	types := map[string]bool{}
	if depth > 10 {
		return types
	}
	switch kind, _ := member(schema, "type"); kind := kind.(type) {
	case string:
		types[kind] = true
	case []any:
		for _, k := range kind {
			if name, ok := k.(string); ok {
				types[name] = true
			}
		}
	}
	if len(types) > 0 {
		return types
	}
	for _, part := range partsOf(document, schema) {
		maps.Copy(types, typesOf(document, part, depth+1))
	}
	return types
}

// partsOf returns the schemas that together say which types a value may have.
func partsOf(document, schema any) []any {
	var parts []any
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		list, _ := member(schema, keyword)
		alternatives, _ := list.([]any)
		parts = append(parts, alternatives...)
	}
	if reference, _ := member(schema, "$ref"); reference != nil {
		if text, ok := reference.(string); ok {
			parts = append(parts, resolvePointer(document, strings.TrimPrefix(text, "#")))
		}
	}
	if value, ok := member(schema, "const"); ok {
		parts = append(parts, map[string]any{"type": typeOf(value)})
	}
	list, _ := member(schema, "enum")
	values, _ := list.([]any)
	for _, value := range values {
		parts = append(parts, map[string]any{"type": typeOf(value)})
	}
	return parts
}

func typeOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		if !strings.ContainsAny(value.String(), ".eE") {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "string"
}

// as reads text as a value of this type.
func as(kind, text string) (any, bool) {
	if kind == "string" {
		return text, true
	}
	value, err := decodeJSON([]byte(text))
	if err != nil {
		return nil, false
	}
	if kind == "number" || kind == "integer" {
		number, ok := value.(json.Number)
		return number, ok && (kind == "number" || isWhole(number))
	}
	return value, typeOf(value) == kind
}

func isWhole(number json.Number) bool {
	value, ok := new(big.Rat).SetString(number.String())
	return ok && value.IsInt()
}

// wanted says how a value of these types is written.
func wanted(types map[string]bool) string {
	ways := map[string]string{
		"null": "null", "boolean": "true or false", "integer": "an integer, like 3", "number": "a number, like 1.5",
		"array": `a list in JSON, like ["a","b"]`, "object": `an object in JSON, like {"a":1}`,
	}
	var found []string
	for _, kind := range slices.Sorted(maps.Keys(types)) {
		if way, ok := ways[kind]; ok {
			found = append(found, way)
		}
	}
	return strings.Join(found, ", or ")
}
