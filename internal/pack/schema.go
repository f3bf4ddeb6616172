package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/attune-automation/attune"
)

// schemaURL is the name of a schema while it is compiled. Nothing is ever loaded from there or from anywhere else.
const schemaURL = "attune:schema"

// Schema is a compiled schema of parameters or of a result. It is safe for use by several goroutines.
type Schema struct {
	compiled *jsonschema.Schema
	document any
}

// schemas remembers schemas by their texts: compiling one costs many times what checking against it does, and a few
// actions make most executions.
var schemas, _ = lru.New[string, *Schema](keptSchemas) // an error only for a size below 1

// Bounds of what is remembered.
const (
	keptSchemas    = 256
	keptSchemaText = 64 << 10
)

// Compile compiles a schema as an Action holds it. An error with the code CodeInvalid means that it is none.
func Compile(schema json.RawMessage) (*Schema, error) {
	if len(schema) > keptSchemaText {
		return compile(schema)
	}
	if s, ok := schemas.Get(string(schema)); ok {
		return s, nil
	}
	s, err := compile(schema)
	if err == nil {
		schemas.Add(string(schema), s)
	}
	return s, err
}

func compile(schema json.RawMessage) (*Schema, error) {
	document, err := decodeJSON(schema)
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "the schema: %v", err)
	}
	checker, err := compileSchema(document)
	if err != nil {
		return nil, attune.Errorf(attune.CodeInvalid, "the schema: %v", err)
	}
	return &Schema{checker, document}, nil
}

func compileSchema(document any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(jsonschema.SchemeURLLoader{})
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource(schemaURL, document); err != nil {
		return nil, err
	}
	return c.Compile(schemaURL)
}

// check compiles the schema that was read from n and returns it as JSON. What is wrong with it, or with a default, is
// reported at its own place. flat tells that n holds properties and not a whole schema.
func check(n node, schema any, flat bool, what string) json.RawMessage {
	raw, err := encodeJSON(schema)
	if err != nil {
		n.fail("%s: %v", what, err)
		return nil
	}
	document, err := decodeJSON(raw)
	if err != nil {
		n.fail("%s: %v", what, err)
		return nil
	}
	compiled, err := compileSchema(document)
	if err != nil {
		failSchema(n, flat, err)
		return nil
	}
	checkDefaults(compiled, document, nil, func(path []string, message string) {
		lookup(n, flat, path).fail("%s", message)
	})
	return raw
}

// failSchema reports why package jsonschema refused a schema, where the path of the refusal leads.
func failSchema(n node, flat bool, err error) {
	if e := (*jsonschema.SchemaValidationError)(nil); errors.As(err, &e) {
		for _, leaf := range leaves(e.Err) {
			lookup(n, flat, leaf.InstanceLocation).fail("%s", explain(leaf))
		}
		return
	}
	var regex *jsonschema.InvalidRegexError
	var pointer *jsonschema.JSONPointerNotFoundError
	var anchor *jsonschema.AnchorNotFoundError
	switch {
	case errors.As(err, &regex):
		n.fail("%q is not a regular expression: %v", regex.Regex, regex.Err)
	case errors.As(err, &pointer), errors.As(err, &anchor):
		n.fail("a $ref leads nowhere: want one to a schema in this file, like #/$defs/name")
	default:
		n.fail("not a JSON Schema: %s", strings.ReplaceAll(err.Error(), schemaURL, ""))
	}
}

// lookup returns the node at a path of the normalised schema, or the last one on the way there.
func lookup(n node, flat bool, path []string) node {
	if flat {
		if len(path) == 0 || path[0] != "properties" {
			return n
		}
		path = path[1:]
	}
	for _, step := range path {
		next, ok := n.step(step)
		if !ok {
			return n
		}
		n = next
	}
	return n
}

func (n node) step(name string) (node, bool) {
	if n.isList() {
		items := n.items()
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(items) {
			return node{}, false
		}
		return items[i], true
	}
	if !n.isMapping() {
		return node{}, false
	}
	for _, f := range n.fieldsQuietly() {
		if f.name() == name {
			return f.value, true
		}
	}
	return node{}, false
}

// checkDefaults validates every default that is filled in against its own schema, completed as it will be: those
// inside first, because one that is wrong makes the ones around it wrong too. It tells whether all are right.
func checkDefaults(s *jsonschema.Schema, document any, path []string, fail func(path []string, message string)) bool {
	if s == nil {
		return true
	}
	right := true
	properties, _ := member(document, "properties")
	for name, property := range s.Properties {
		inner, _ := member(properties, name)
		right = checkDefaults(property, inner, slices.Concat(path, []string{"properties", name}), fail) && right
	}
	if items, ok := member(document, "items"); ok {
		right = checkDefaults(s.Items2020, items, slices.Concat(path, []string{"items"}), fail) && right
	}
	value, ok := member(document, "default")
	if !ok || !right {
		return right
	}
	for _, leaf := range leaves(s.Validate(fill(document, value))) {
		right = false
		fail(slices.Concat(path, []string{"default"}, leaf.InstanceLocation), "the default doesn't fit: "+explain(leaf))
	}
	return right
}

func member(value any, name string) (any, bool) {
	object, _ := value.(map[string]any)
	found, ok := object[name]
	return found, ok
}

// leaves returns the errors that have no cause of their own, or whose causes are alternatives.
func leaves(err error) []*jsonschema.ValidationError {
	var e *jsonschema.ValidationError
	if !errors.As(err, &e) {
		return nil
	}
	if len(e.Causes) == 0 || alternatives(e) {
		return []*jsonschema.ValidationError{e}
	}
	var found []*jsonschema.ValidationError
	for _, cause := range e.Causes {
		found = append(found, leaves(cause)...)
	}
	return found
}

// location returns the path of a value as users write it: parameters.servers[0].port.
func location(root string, instance any, path []string) string {
	at := root
	for _, step := range path {
		if list, ok := instance.([]any); ok {
			at += fmt.Sprintf("[%s]", step)
			if i, err := strconv.Atoi(step); err == nil && i < len(list) {
				instance = list[i]
			}
			continue
		}
		at += "." + step
		instance, _ = member(instance, step)
	}
	return at
}
