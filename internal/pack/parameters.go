package pack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/attune-automation/attune"
)

// DefaultParameterBytes is the most that the parameters of one execution may have, defaults filled in, if the
// configuration says nothing else: 1 MiB.
const DefaultParameterBytes = 1 << 20

// Parameters compiles the schema and applies it; see Schema.Parameters.
func Parameters(schema, given json.RawMessage, maxBytes int) (json.RawMessage, error) {
	s, err := Compile(schema)
	if err != nil {
		return nil, err
	}
	return s.Parameters(given, maxBytes)
}

// Parameters returns what an execution is given, with the action's defaults filled in: for properties that are absent,
// at any depth where the object is present. Nothing given is an empty object. Numbers keep every digit; 3.0 becomes 3
// where the schema wants an integer. An error is an *attune.Error with the code CodeInvalid whose Details name each
// fault by its path (parameters.server.port). maxBytes bounds the JSON before and after; 0 means
// DefaultParameterBytes.
func (s *Schema) Parameters(given json.RawMessage, maxBytes int) (json.RawMessage, error) {
	maxBytes = cmp.Or(maxBytes, DefaultParameterBytes)
	if len(given) > maxBytes {
		return nil, tooLarge(len(given), maxBytes)
	}
	object, err := decodeObject(given)
	if err != nil {
		return nil, err
	}
	merged := fill(s.document, object)
	if found := s.faults("parameters", merged); found != nil {
		return nil, &attune.Error{Code: attune.CodeInvalid, Message: "the parameters are not valid", Details: found}
	}
	encoded, err := encodeJSON(merged)
	if err == nil && len(encoded) > maxBytes {
		return nil, tooLarge(len(encoded), maxBytes)
	}
	return encoded, err
}

// CheckResult returns an error that names each fault of a result by its path (result.greeting), nil if it fits.
func (s *Schema) CheckResult(result json.RawMessage) error {
	value, err := decodeJSON(result)
	if err != nil {
		return attune.Errorf(attune.CodeInvalid, "the result: %v", err)
	}
	if found := s.faults("result", value); found != nil {
		return &attune.Error{Code: attune.CodeInvalid, Message: "the result doesn't fit the action's output", Details: found}
	}
	return nil
}

func tooLarge(bytes, limit int) error {
	return attune.Errorf(attune.CodeInvalid,
		"the parameters have %d bytes: at most %d are possible, pass the name of a file instead", bytes, limit)
}

func decodeObject(given json.RawMessage) (map[string]any, error) {
	if len(given) == 0 {
		return map[string]any{}, nil
	}
	value, err := decodeJSON(given)
	if inner := (*valueError)(nil); errors.As(err, &inner) {
		return nil, &attune.Error{Code: attune.CodeInvalid, Message: "the parameters are not valid",
			Details: []attune.Detail{{Place: "parameters." + inner.path, Message: inner.err.Error()}}}
	}
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "the parameters: %v", err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, attune.Errorf(attune.CodeInvalid, "the parameters must be a JSON object, like {\"name\": \"value\"}")
	}
	return object, nil
}

// faults returns what is wrong with an instance, by place.
func (s *Schema) faults(root string, instance any) []attune.Detail {
	var found []attune.Detail
	if root == "parameters" {
		found = checkNames(instance)
	}
	for _, leaf := range leaves(s.compiled.Validate(instance)) {
		found = append(found, s.locate(root, instance, leaf)...)
	}
	slices.SortFunc(found, func(a, b attune.Detail) int {
		return cmp.Or(strings.Compare(a.Place, b.Place), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(found)
}

// locate gives missing and unknown properties a place of their own.
func (s *Schema) locate(root string, instance any, e *jsonschema.ValidationError) []attune.Detail {
	at := location(root, instance, e.InstanceLocation)
	var found []attune.Detail
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			found = append(found, attune.Detail{Place: at + "." + name, Message: "required, but missing"})
		}
	case *kind.AdditionalProperties:
		known := s.properties(e.SchemaURL)
		for _, name := range k.Properties {
			found = append(found, attune.Detail{Place: at + "." + name, Message: unknown(thing(at), name, known)})
		}
	default:
		found = []attune.Detail{{Place: at, Message: explain(e)}}
	}
	return found
}

func thing(at string) string {
	if at == "parameters" {
		return "parameter"
	}
	return "property"
}

// properties returns the names that the schema at this URL of ours has.
func (s *Schema) properties(url string) []string {
	_, pointer, _ := strings.Cut(url, "#")
	schema := resolvePointer(s.document, pointer)
	properties, _ := member(schema, "properties")
	object, _ := properties.(map[string]any)
	return slices.Sorted(maps.Keys(object))
}

// checkNames refuses names that can't be, or would together be one variable of an environment. A schema that allows
// any parameter has not done so.
func checkNames(parameters any) []attune.Detail {
	object, _ := parameters.(map[string]any)
	seen := map[string]string{}
	var found []attune.Detail
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if err := attune.CheckParameterName(name); err != nil {
			found = append(found, attune.Detail{Place: "parameters." + name, Message: message(err)})
		}
		upper := strings.ToUpper(name)
		if first, taken := seen[upper]; taken {
			found = append(found, attune.Detail{Place: "parameters." + name,
				Message: fmt.Sprintf("differs from %s by case alone: give one of them", first)})
		}
		seen[upper] = name
	}
	return found
}
