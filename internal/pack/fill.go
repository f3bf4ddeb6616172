package pack

import (
	"encoding/json"
	"math/big"
	"net/url"
	"strconv"
	"strings"
)

// fill returns the value with what its schema adds: defaults of absent properties, along properties and items, and
// whole numbers written as integers where the schema wants those. Neither argument is changed.
func fill(schema, value any) any {
	switch value := value.(type) {
	case map[string]any:
		return fillObject(schema, value)
	case []any:
		items, ok := member(schema, "items")
		if !ok {
			return value
		}
		filled := make([]any, len(value))
		for i := range value {
			filled[i] = fill(items, value[i])
		}
		return filled
	case json.Number:
		if kind, _ := member(schema, "type"); kind == "integer" {
			return whole(value)
		}
	}
	return value
}

func fillObject(schema any, value map[string]any) any {
	properties, _ := member(schema, "properties")
	declared, _ := properties.(map[string]any)
	filled := make(map[string]any, len(value)+len(declared))
	for name, given := range value {
		filled[name] = fill(declared[name], given)
	}
	for name, property := range declared {
		if _, given := value[name]; given {
			continue
		}
		if standard, ok := member(property, "default"); ok {
			filled[name] = fill(property, standard)
		}
	}
	return filled
}

// whole returns an integer without fraction and exponent, which programs read as a float.
func whole(number json.Number) json.Number {
	if !strings.ContainsAny(number.String(), ".eE") {
		return number
	}
	value, ok := new(big.Rat).SetString(number.String())
	if !ok || !value.IsInt() {
		return number
	}
	return json.Number(value.Num().String())
}

// resolvePointer returns the part of a schema that a JSON pointer (RFC 6901), encoded for a URL, leads to.
func resolvePointer(document any, pointer string) any {
	if decoded, err := url.PathUnescape(pointer); err == nil {
		pointer = decoded
	}
	if pointer == "" {
		return document
	}
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		if list, ok := document.([]any); ok {
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(list) {
				return nil
			}
			document = list[i]
			continue
		}
		document, _ = member(document, step)
	}
	return document
}
