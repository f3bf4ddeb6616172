package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

const outputSchemaURL = "attune:output"

// checkOutput validates a result against the action's output schema, if it has one. No result counts as null.
func checkOutput(schema, value json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	compiled, err := compileSchema(schema)
	if err != nil {
		return fmt.Errorf("the action's output schema can't be used: %w", err)
	}
	if value == nil {
		value = json.RawMessage("null")
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return fmt.Errorf("the result is not JSON: %w", err)
	}
	var invalid *jsonschema.ValidationError
	if err := compiled.Validate(instance); errors.As(err, &invalid) {
		return fmt.Errorf("the result does not fit the action's output schema: %s", describe(invalid))
	} else if err != nil {
		return fmt.Errorf("check the result against the action's output schema: %w", err)
	}
	return nil
}

func compileSchema(schema json.RawMessage) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noReferences{})
	if err := compiler.AddResource(outputSchemaURL, document); err != nil {
		return nil, err
	}
	return compiler.Compile(outputSchemaURL)
}

// noReferences keeps a pack's schema from reading the worker's files, as the library's own loader would for file: URLs.
type noReferences struct{}

func (noReferences) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema may refer to nothing outside of itself", url)
}

// maxDescribed is how many faults one message names.
const maxDescribed = 5

// describe names each fault's place as a JSON pointer.
func describe(invalid *jsonschema.ValidationError) string {
	printer := message.NewPrinter(language.English)
	var faults []string
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			faults = append(faults, "at "+pointer(e.InstanceLocation)+": "+e.ErrorKind.LocalizedString(printer))
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	if len(faults) > maxDescribed {
		faults = append(faults[:maxDescribed], fmt.Sprintf("and %d more", len(faults)-maxDescribed))
	}
	return strings.Join(faults, "; ")
}

func pointer(location []string) string {
	if len(location) == 0 {
		return "the top"
	}
	return "/" + strings.Join(location, "/")
}
