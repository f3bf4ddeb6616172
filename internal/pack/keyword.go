package pack

import (
	"regexp"
	"slices"
	"strings"
)

// draft is the one version of JSON Schema that schemas may name: https://json-schema.org/draft/2020-12.
const draft = "https://json-schema.org/draft/2020-12/schema"

// shape is what a keyword of JSON Schema holds.
type shape int

const (
	plainValue shape = iota
	oneSchema
	schemaList
	schemaMap
	regularExpression
	formatName
	localReference
	draftName
	defaultValue
	typeName
)

// keywords are those of draft 2020-12 that act on one document, with definitions of the drafts before it as another
// place for referenced schemas. Those that name a schema for others ($id, $vocabulary, $dynamicRef) are not: a schema
// here stands alone.
func keywords() map[string]shape {
	known := map[string]shape{
		"$schema": draftName, "$ref": localReference, "pattern": regularExpression, "format": formatName,
		"default": defaultValue, "type": typeName,
	}
	for shape, list := range map[shape]string{
		plainValue: `enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength
			maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required dependentRequired
			title description examples deprecated readOnly writeOnly $comment $anchor contentEncoding contentMediaType`,
		oneSchema: `not if then else items contains additionalProperties propertyNames unevaluatedItems
			unevaluatedProperties contentSchema`,
		schemaList: "allOf anyOf oneOf prefixItems",
		schemaMap:  "properties patternProperties dependentSchemas $defs definitions",
	} {
		for _, name := range strings.Fields(list) {
			known[name] = shape
		}
	}
	return known
}

// formats are those that package jsonschema checks.
func formats() []string {
	return []string{
		"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference", "json-pointer",
		"period", "regex", "relative-json-pointer", "semver", "time", "uri", "uri-reference", "uri-template", "uuid",
	}
}

// schemaReader turns a schema of a metadata file into a value for package jsonschema. It reports keywords that have no
// effect there, which the package itself leaves alone.
type schemaReader struct {
	known map[string]shape
	names []string
	own   func(schema map[string]any, f field) bool // reads keywords of ours; false: it is none
	fills bool                                      // whether defaults are filled in
}

func newSchemaReader() *schemaReader {
	s := &schemaReader{known: keywords(), own: func(map[string]any, field) bool { return false }}
	for name := range s.known {
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	return s
}

// schema reads one schema. Defaults are filled in along properties and items only; filled tells whether that is so
// here.
func (s *schemaReader) schema(n node, filled bool) any {
	if n.tag() == "!!bool" {
		value, _ := n.boolean()
		return value
	}
	schema := map[string]any{}
	for _, f := range n.fields() {
		name := f.name()
		shape, ok := s.known[name]
		switch {
		case s.own(schema, f):
		case ok:
			schema[name] = s.keyword(f, shape, filled)
		case slices.Contains([]string{orderKeyword, positionKeyword, secretKeyword}, name):
			f.key.fail("%s is Attune's own: write %s: at the parameter itself", name, strings.TrimPrefix(name, "x-"))
		case strings.HasPrefix(name, "x-"):
			schema[name] = f.value.json()
		default:
			f.key.fail("%s", s.unknown(name))
		}
	}
	return schema
}

func (s *schemaReader) unknown(name string) string {
	if name == "secret" || name == "position" {
		return "the keyword " + name + " has its place at a parameter itself, not within one"
	}
	if near, ok := Nearest(name, append(s.names, "secret", "position")); ok {
		return "unknown keyword \"" + name + "\": did you mean \"" + near + "\"?"
	}
	return "unknown keyword \"" + name + "\": known are those of JSON Schema 2020-12 that need no other document"
}

func (s *schemaReader) keyword(f field, shape shape, filled bool) any {
	switch shape {
	case oneSchema:
		return s.schema(f.value, filled && f.name() == "items")
	case schemaList:
		list := []any{}
		for _, item := range f.value.items() {
			list = append(list, s.schema(item, false))
		}
		return list
	case schemaMap:
		return s.schemas(f, filled && f.name() == "properties")
	}
	s.check(f, shape, filled)
	return f.value.json()
}

func (s *schemaReader) schemas(f field, filled bool) any {
	schemas := map[string]any{}
	for _, property := range f.value.fields() {
		if f.name() == "patternProperties" {
			checkPattern(property.key)
		}
		schemas[property.name()] = s.schema(property.value, filled)
	}
	return schemas
}

// check reports values that package jsonschema would take, and then do nothing or something unsafe with.
func (s *schemaReader) check(f field, shape shape, filled bool) {
	text := f.value.target().yaml.Value
	switch {
	case shape == defaultValue && (!s.fills || !filled):
		f.key.fail("default has no effect here: it is filled in below properties and items of parameters only")
	case shape == typeName:
		checkTypes(f.value)
	case f.name() == "required" && f.value.tag() == "!!bool":
		f.value.fail("got a boolean, want the list of required names beside properties: required: [name]")
	case shape == regularExpression && f.value.isString():
		checkPattern(f.value)
	case shape == formatName && f.value.isString() && !slices.Contains(formats(), text):
		f.value.fail("%s", unknown("format", text, formats()))
	case shape == localReference && !strings.HasPrefix(text, "#"):
		f.value.fail("%q leads out of this schema: only references that begin with # are possible", text)
	case shape == draftName && strings.TrimSuffix(text, "#") != draft:
		f.value.fail("want %s, or leave the key out", draft)
	}
}

// checkTypes names the unknown type, where package jsonschema would explain all that type may be.
func checkTypes(n node) {
	known := []string{"array", "boolean", "integer", "null", "number", "object", "string"}
	kinds := []node{n}
	if n.isList() {
		kinds = n.items()
	}
	for _, item := range kinds {
		if text, ok := item.text(); ok && !slices.Contains(known, text) {
			item.fail("%s", unknown("type", text, known))
		}
	}
}

func checkPattern(n node) {
	if _, err := regexp.Compile(n.target().yaml.Value); err != nil {
		n.fail("%v: want a regular expression of RE2, see https://golang.org/s/re2syntax", err)
	}
}
