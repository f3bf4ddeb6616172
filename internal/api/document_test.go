package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the served OpenAPI document as a stranger reads it: nothing of it comes from our own types.
type contract struct {
	root       map[string]any
	operations []promise
	compiler   *jsonschema.Compiler
	schemas    map[string]*jsonschema.Schema
}

// promise is what the document says of one operation.
type promise struct {
	ID           string
	method, path string
	role         string // "" if it is open to all
	parameters   []parameter
	kind         string         // of the body; "" if it takes none
	body         map[string]any // its schema
	place        string         // JSON pointer to the operation
	responses    map[string]any
}

type parameter struct {
	Name, In string
	Schema   map[string]any
}

const documentName = "openapi.json"

// readContract gets the document from a server.
func readContract(t *testing.T, s *server) *contract {
	t.Helper()
	status, text := s.send(http.MethodGet, "/openapi.json", "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	root, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{root: root.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(documentName, root); err != nil {
		t.Fatal(err)
	}
	paths := c.root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) { // in the same order each time, so that a seed means the same
		methods := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			c.operations = append(c.operations, c.promise(t, path, method, methods[method]))
		}
	}
	return c
}

func (c *contract) promise(t *testing.T, path, method string, operation any) promise {
	t.Helper()
	var told struct {
		ID          string `json:"operationId"`
		Role        string `json:"x-attune-role"`
		Parameters  []parameter
		RequestBody struct {
			Content map[string]struct{ Schema map[string]any }
		}
		Responses map[string]any
	}
	text, err := json.Marshal(operation)
	if err == nil {
		err = json.Unmarshal(text, &told)
	}
	if err != nil || told.ID == "" || len(told.Responses) == 0 {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	p := promise{
		ID: told.ID, method: strings.ToUpper(method), path: path, role: told.Role, parameters: told.Parameters,
		place: "#/paths/" + pointer(path) + "/" + method, responses: told.Responses,
	}
	for kind, body := range told.RequestBody.Content {
		p.kind, p.body = kind, body.Schema
	}
	return p
}

// pointer is a name in a JSON pointer (RFC 6901).
func pointer(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// resolve follows a reference.
func (c *contract) resolve(schema map[string]any) map[string]any {
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			return schema
		}
		at := any(c.root)
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[name]
		}
		schema = at.(map[string]any)
	}
}

// route returns the operation at a path as it was written, and whether another method has one there. Segments are
// told apart before they are decoded, as RFC 3986 has it.
func (c *contract) route(method, target string) (found *promise, elsewhere bool) {
	target, _, _ = strings.Cut(target, "?")
	if meant, err := url.PathUnescape(target); err != nil || strings.TrimSuffix(meant, "/") != strings.TrimSuffix(path.Clean(meant), "/") {
		return nil, false // it is what others would make another path of
	}
	for i := range c.operations {
		o := &c.operations[i]
		if !matches(o.path, target) {
			continue
		}
		if o.method == method || method == http.MethodHead && o.method == http.MethodGet {
			// A path without placeholders goes before one with: /keys/rotate is no key's.
			if found == nil || strings.Count(o.path, "{") < strings.Count(found.path, "{") {
				found = o
			}
			continue
		}
		elsewhere = true
	}
	return found, elsewhere
}

func matches(template, path string) bool {
	wanted, got := strings.Split(template, "/"), strings.Split(path, "/")
	for i, want := range wanted {
		if want == "{name}" { // of an artifact: all that follows
			return len(got) > i
		}
		if i >= len(got) {
			return false
		}
		segment, err := url.PathUnescape(got[i])
		placeholder := strings.HasPrefix(want, "{")
		if err != nil || placeholder && segment == "" || !placeholder && segment != want {
			return false
		}
	}
	return len(wanted) == len(got)
}

// check tells what is wrong with an answer to an operation.
func (c *contract) check(o *promise, method string, answer *http.Response, body []byte) error {
	response, ok := o.responses[strconv.Itoa(answer.StatusCode)].(map[string]any)
	if !ok {
		return fmt.Errorf("the document has no %d for %s", answer.StatusCode, o.ID)
	}
	content, _ := response["content"].(map[string]any)
	kind := answer.Header.Get("Content-Type")
	switch {
	case len(content) == 0 && (len(body) > 0 || kind != ""):
		return fmt.Errorf("a body of type %q, where the document has none", kind)
	case len(content) == 0 || method == http.MethodHead:
		return nil
	case content[kind] == nil:
		return fmt.Errorf("a body of type %q: the document has %v", kind, slices.Collect(maps.Keys(content)))
	}
	if kind != "application/json" && kind != "application/problem+json" {
		return nil
	}
	place := fmt.Sprintf("%s/responses/%d/content/%s/schema", o.place, answer.StatusCode, pointer(kind))
	return c.valid(place, body)
}

// valid tells what in a JSON text is not as the schema at a place has it.
func (c *contract) valid(place string, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	schema := c.schemas[place]
	if schema == nil {
		if schema, err = c.compiler.Compile(documentName + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(place)); err != nil {
			return err
		}
		c.schemas[place] = schema
	}
	return schema.Validate(value)
}

func TestWhatIsNullMayBe(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, e := readContract(t, s), s.echo()
	for _, path := range []string{"/api/v1/executions/" + strconv.FormatInt(e.ID, 10), "/api/v1/executions", "/api/v1/workers", "/api/v1/workers/w1"} {
		o, _ := c.route(http.MethodGet, path)
		status, text := s.send(http.MethodGet, path, "")
		place := o.place + "/responses/200/content/application~1json/schema"
		if err := c.valid(place, []byte(text)); status != http.StatusOK || err != nil {
			t.Errorf("%s: %d %s: %v", path, status, text, err)
		}
	}
}
