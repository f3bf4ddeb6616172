package pack

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// alternatives tells whether the causes of e are several ways to be right, of which none was met.
func alternatives(e *jsonschema.ValidationError) bool {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains, *kind.PropertyNames:
		return true
	}
	return false
}

// explain says what is wrong with a value and what would be right. It never repeats the value itself, which may be
// what somebody wants to keep secret.
func explain(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return fmt.Sprintf("got %s, want %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Enum:
		return "want one of " + listed(k.Want)
	case *kind.Const:
		return "want " + listed([]any{k.Want})
	case *kind.Required:
		return "the property " + strings.Join(k.Missing, ", ") + " is missing"
	case *kind.AdditionalProperties:
		return "unknown property " + strings.Join(k.Properties, ", ")
	case *kind.AnyOf, *kind.OneOf:
		return explainAlternatives(e)
	}
	if text := explainNumber(e.ErrorKind); text != "" {
		return text
	}
	if text := explainSize(e.ErrorKind); text != "" {
		return text
	}
	return explainRest(e.ErrorKind)
}

func explainAlternatives(e *jsonschema.ValidationError) string {
	if k, ok := e.ErrorKind.(*kind.OneOf); ok && len(k.Subschemas) > 0 {
		return "fits several of the alternatives in oneOf, want exactly one"
	}
	var ways []string
	for _, cause := range e.Causes {
		for _, leaf := range leaves(cause) {
			ways = append(ways, explain(leaf))
		}
	}
	if len(ways) > 5 {
		ways = append(ways[:5], "…")
	}
	return "fits none of the alternatives: " + strings.Join(ways, "; or ")
}

func explainNumber(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "want at least " + decimal(k.Want)
	case *kind.Maximum:
		return "want at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "want more than " + decimal(k.Want)
	case *kind.ExclusiveMaximum:
		return "want less than " + decimal(k.Want)
	case *kind.MultipleOf:
		return "want a multiple of " + decimal(k.Want)
	}
	return ""
}

func explainSize(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("got %d characters, want at least %d", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("got %d characters, want at most %d", k.Got, k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("got %d items, want at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("got %d items, want at most %d", k.Got, k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("got %d properties, want at least %d", k.Got, k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("got %d properties, want at most %d", k.Got, k.Want)
	case *kind.AdditionalItems:
		return fmt.Sprintf("%d items too many", k.Count)
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are equal, want each once", k.Duplicates[0], k.Duplicates[1])
	}
	return ""
}

func explainRest(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Pattern:
		return "want a string that matches " + k.Want
	case *kind.Format:
		return "want a string of the format " + k.Want
	case *kind.ContentEncoding:
		return "want a string encoded as " + k.Want
	case *kind.ContentMediaType:
		return "want a string that holds " + k.Want
	case *kind.FalseSchema:
		return "not allowed here"
	case *kind.DependentRequired:
		return fmt.Sprintf("the property %s is missing: %s needs it", strings.Join(k.Missing, ", "), k.Prop)
	case *kind.PropertyNames:
		return fmt.Sprintf("the name %q is not allowed here", k.Property)
	case *kind.RefCycle:
		return "the schema refers to itself without end: correct its $ref"
	}
	return fmt.Sprintf("doesn't fit the keyword %s of the schema", strings.Join(k.KeywordPath(), "/"))
}

// listed returns values as JSON, as they would be given.
func listed(values []any) string {
	var texts []string
	for _, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			text = fmt.Append(nil, value)
		}
		texts = append(texts, string(text))
	}
	return strings.Join(texts, ", ")
}

// decimal returns a number of a schema as it was written there, as far as possible.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}
