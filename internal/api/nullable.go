package api

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// nullReferences lets those fields be null that are: huma writes a pointer to a struct as a reference to its schema, and
// a reference says nothing of null.
func nullReferences(schemas huma.Registry) {
	for name, schema := range schemas.Map() {
		structure := schemas.TypeFromRef("#/components/schemas/" + name)
		if structure == nil || structure.Kind() != reflect.Struct {
			continue
		}
		for _, field := range reflect.VisibleFields(structure) {
			called, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			property := schema.Properties[called]
			if property == nil || property.Ref == "" || field.Type.Kind() != reflect.Pointer || strings.Contains(options, "omitempty") {
				continue
			}
			schema.Properties[called] = &huma.Schema{
				AnyOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}, Description: property.Description,
			}
		}
	}
}
