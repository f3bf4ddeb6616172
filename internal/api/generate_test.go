package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// generator makes requests of the document: good ones, and good ones that something was done to.
type generator struct {
	*rand.Rand
	contract *contract
	archive  []byte         // of a pack that can be installed
	newest   map[string]int // the highest id of what was made, by the place that needs it
}

// attempt is a request as it goes over the wire.
type attempt struct {
	method, target string
	header         [][2]string
	body           []byte
	chunked        bool
	missing        int // bytes of the body that are announced and never come
}

func (a attempt) String() string {
	return fmt.Sprintf("%s %s %q %.300q (%d bytes, %d missing, chunked %t)", a.method, a.target, a.header, a.body, len(a.body), a.missing, a.chunked)
}

// draft is a request before it is put together: what a mutation changes.
type draft struct {
	attempt
	path  string
	query [][2]string // as they are written, encoded
}

// next returns a request for an operation: a good one in two of five cases.
func (g *generator) next(o *promise) attempt {
	d := g.good(o)
	for range max(0, g.IntN(5)-1) {
		g.mutations()[g.IntN(len(g.mutations()))](o, d)
	}
	d.target = d.path
	for i, pair := range d.query {
		d.target += string("?&"[min(i, 1)]) + pair[0] + "=" + pair[1]
	}
	return d.attempt
}

func (g *generator) good(o *promise) *draft {
	d := &draft{attempt: attempt{method: o.method}, path: o.path}
	for _, p := range o.parameters {
		switch value := g.known(p); {
		case p.In == "path":
			d.path = strings.ReplaceAll(d.path, "{"+p.Name+"}", url.PathEscape(value))
		case g.IntN(3) > 0: // no other one is required
		case p.In == "query":
			d.query = append(d.query, [2]string{p.Name, url.QueryEscape(value)})
		default:
			d.header = append(d.header, [2]string{p.Name, value})
		}
	}
	switch o.kind {
	case "":
	case "application/json":
		d.body = g.encode(g.goodBody(o))
	default:
		d.body = bytes.Clone(g.archive)
	}
	if o.kind != "" {
		d.header = append(d.header, [2]string{"Content-Type", o.kind})
	}
	return d
}

// known is a value of a parameter that means something here, in most cases, or one that fits its schema.
func (g *generator) known(p parameter) string {
	values := map[string][]string{
		"ref": {"core", "core.echo", "demo.go", "demo"}, "worker": {"w1", "1"}, "key": {"k", "api_key", "new_one"}, "name": {"stdout.log", "files/a b.txt"},
		"pack": {"core", "demo"}, "action": {"core.echo"}, "wait": {"0s", "1s", "60s"}, "text": {"echo"},
	}[p.Name]
	switch {
	case p.Name == "id" && g.IntN(4) == 0:
		return "1" // which has left something
	case p.Name == "id":
		return strconv.Itoa(1 + g.IntN(g.newest["id"]+2))
	case len(values) > 0 && g.IntN(10) > 0:
		return values[g.IntN(len(values))]
	}
	value := g.valid(p.Schema, 0)
	if all, ok := value.([]any); ok {
		if len(all) == 0 {
			return ""
		}
		value = all[0]
	}
	return fmt.Sprint(value)
}

// goodBody is a body that fits the schema, and in most cases means something.
func (g *generator) goodBody(o *promise) any {
	fits := g.valid(o.body, 0)
	body, ok := fits.(map[string]any)
	if !ok || g.IntN(8) == 0 {
		return fits
	}
	switch o.ID {
	case "submit-execution":
		delete(body, "script")
		body["action"] = []string{"core.echo", "core.noop", "demo.go"}[g.IntN(3)]
		body["parameters"] = map[string]any{"message": "hi"}
		delete(body, "env")
		if g.IntN(4) == 0 {
			delete(body, "action")
			body["script"] = map[string]any{"name": "a.sh", "content": "echo hi"}
		}
	case "set-key":
		body["value"] = "hunter2-hunter2"
		delete(body, "encoding")
	case "create-token":
		body["name"], body["packs"] = "made", []string{"demo"}
	}
	return body
}

// valid is a value that fits a schema.
func (g *generator) valid(schema map[string]any, depth int) any {
	schema = g.contract.resolve(schema)
	if options, ok := schema["enum"].([]any); ok {
		return options[g.IntN(len(options))]
	}
	switch kindOf(schema) {
	case "string":
		return g.validText(schema)
	case "integer":
		return int64(g.between(schema))
	case "number":
		return g.between(schema)
	case "boolean":
		return g.IntN(2) == 0
	case "array":
		all := []any{}
		items, _ := schema["items"].(map[string]any)
		for range g.IntN(3) {
			all = append(all, g.valid(items, depth+1))
		}
		return all
	case "object":
		return g.validObject(schema, depth)
	}
	return g.any(depth)
}

// kindOf is the type that a schema wants, null left out.
func kindOf(schema map[string]any) string {
	if kinds, ok := schema["type"].([]any); ok {
		kinds = slices.DeleteFunc(slices.Clone(kinds), func(kind any) bool { return kind == "null" })
		return fmt.Sprint(kinds[0])
	}
	kind, _ := schema["type"].(string)
	return kind
}

func (g *generator) validText(schema map[string]any) string {
	if pattern, ok := schema["pattern"].(string); ok {
		return rapid.StringMatching(pattern).Example(g.IntN(1 << 20))
	}
	if schema["format"] == "date-time" {
		return time.Unix(g.Int64N(1<<32), 0).UTC().Format(time.RFC3339)
	}
	return strings.Repeat("x", int(bound(schema, "minLength", 0))+g.IntN(8))
}

func (g *generator) between(schema map[string]any) float64 {
	least := bound(schema, "minimum", 0)
	return math.Ceil(least + g.Float64()*min(1000, bound(schema, "maximum", least+100)-least))
}

// bound is a number of a schema.
func bound(schema map[string]any, name string, otherwise float64) float64 {
	if value, err := strconv.ParseFloat(fmt.Sprint(schema[name]), 64); err == nil {
		return value
	}
	return otherwise
}

func (g *generator) validObject(schema map[string]any, depth int) any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if slices.Contains(required, any(name)) || g.IntN(3) == 0 {
			object[name] = g.valid(properties[name].(map[string]any), depth+1)
		}
	}
	if more, ok := schema["additionalProperties"].(map[string]any); ok {
		for range g.IntN(3) {
			object[rapid.StringMatching(`[a-z_]{1,8}`).Example(g.IntN(1<<20))] = g.valid(more, depth+1)
		}
	}
	return object
}

// any is any JSON.
func (g *generator) any(depth int) any {
	switch kind := g.IntN(8); {
	case kind == 0 && depth < 5:
		object := map[string]any{}
		for range g.IntN(4) {
			object[g.oddText()] = g.any(depth + 1)
		}
		return object
	case kind == 1 && depth < 5:
		all := []any{}
		for range g.IntN(4) {
			all = append(all, g.any(depth+1))
		}
		return all
	case kind == 2:
		return nil
	case kind == 3:
		return g.IntN(2) == 0
	case kind == 4:
		return g.IntN(100)
	case kind == 5:
		return json.RawMessage(oddNumbers[g.IntN(len(oddNumbers))])
	}
	return g.oddText()
}

var oddNumbers = []string{
	"-1", "0", "-0", "1.5", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e400", "-1e400", "1e-400", "1E+2",
	"123456789012345678901234567890", "0.1e-1", "2147483648", "18446744073709551616", "1e18", "-2147483649",
}

var oddTexts = []string{
	"", " ", ".", "..", "../../etc/passwd", "/", "//", "\\", "a\x00b", "\x00", "\x1b[2J", "\r\nSet-Cookie: a=b", "\n", "\t", "\x7f", "é", "日本語", "\u202e",
	"\ufeff", "\U0001f600", "%2e%2e%2f", "%", "%zz", "'; DROP TABLE execution; --", "$(id)", "`id`", "{{7*7}}", "null", "true", "[]", "{}", "*", "?", "#",
	"core.echo", "core", "rotate", "CORE.ECHO", "core.", ".echo", "-1", "0", "1", "1e3", "0x10", "１", "+1", "1_000", "9223372036854775808", "NaN", "Infinity",
	"2026-13-45T99:99:99Z", "2026-01-01T00:00:00+99:99", "0000-00-00T00:00:00Z", "<script>alert(1)</script>", "=1+1", "a,b", "a;b", "\"", "W/\"x\"", "1s", "999s", "60s",
}

func (g *generator) oddText() string {
	switch g.IntN(12) {
	case 0:
		return strings.Repeat("A", 1<<g.IntN(13))
	case 1:
		return strings.Repeat("é\x00", g.IntN(200))
	case 2:
		return rapid.String().Example(g.IntN(1 << 20))
	}
	return oddTexts[g.IntN(len(oddTexts))]
}

// encode writes JSON. What a generator made is some.
func (g *generator) encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

func (g *generator) mutations() []func(*promise, *draft) {
	return []func(*promise, *draft){g.oddPath, g.oddQuery, g.oddQuery, g.oddHeader, g.oddBody, g.oddBody, g.oddBody, g.brokenBody, g.otherMethod, g.otherKind}
}

// escapes writes a text into a URL in one of the ways there are.
func (g *generator) escapes(text string) string {
	switch g.IntN(4) {
	case 0: // every byte
		var all strings.Builder
		for _, b := range []byte(text) {
			fmt.Fprintf(&all, "%%%02x", b)
		}
		return all.String()
	case 1:
		return url.QueryEscape(text)
	}
	return url.PathEscape(text)
}

func (g *generator) oddPath(o *promise, d *draft) {
	parts := strings.Split(d.path, "/")
	switch g.IntN(6) {
	case 0:
		d.path += []string{"/", "/x", "/..", "/%2e%2e", "//", "/.", "%00", "%2f", "/..%2f..", ";a=b"}[g.IntN(10)]
	case 1:
		d.path = []string{"//", "/./", "/x/../", "/%2e/"}[g.IntN(4)] + strings.TrimPrefix(d.path, "/")
	default:
		at := 1 + g.IntN(len(parts)-1)
		if wanted := strings.Split(o.path, "/"); at < len(wanted) && !strings.HasPrefix(wanted[at], "{") && g.IntN(4) > 0 {
			at = len(parts) - 1
		}
		parts[at] = g.escapes(g.oddText())
		d.path = strings.Join(parts, "/")
	}
}

func (g *generator) oddQuery(o *promise, d *draft) {
	name := g.oddText()
	if len(o.parameters) > 0 && g.IntN(4) > 0 {
		name = o.parameters[g.IntN(len(o.parameters))].Name
	}
	name = g.escapes(name)
	switch g.IntN(4) {
	case 0:
		for range 1 + g.IntN(50) {
			d.query = append(d.query, [2]string{name, g.escapes(g.oddText())})
		}
	case 1:
		d.query = append(d.query, [2]string{name, oddNumbers[g.IntN(len(oddNumbers))]})
	case 2:
		d.query = append(d.query, [2]string{name, []string{"%zz", "%", "a;b", "%ff", "%00", "%ed%a0%80"}[g.IntN(6)]})
	default:
		d.query = append(d.query, [2]string{name, g.escapes(g.oddText())})
	}
}

func (g *generator) oddHeader(_ *promise, d *draft) {
	names := []string{
		"Idempotency-Key", "If-None-Match", "Accept", "Accept-Encoding", "Range", "Content-Encoding", "X-Forwarded-Proto", "X-Forwarded-For", "Cookie",
		"Origin", "Sec-Fetch-Site", "X-Http-Method-Override", "If-Modified-Since", "Traceparent", "Accept-Language", "Referer", "Upgrade",
	}
	// What is no value of a header at all, HTTP refuses before anybody of ours sees it.
	value := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, g.oddText())
	d.header = append(d.header, [2]string{names[g.IntN(len(names))], value})
}

func (g *generator) otherMethod(_ *promise, d *draft) {
	methods := []string{http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodGet, http.MethodDelete, "TRACE", "PROPFIND", "get"}
	d.method = methods[g.IntN(len(methods))]
}

func (g *generator) otherKind(_ *promise, d *draft) {
	d.header = slices.DeleteFunc(d.header, func(h [2]string) bool { return h[0] == "Content-Type" })
	kinds := []string{
		"text/plain", "application/json; charset=utf-16", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
		"", ";", "application/", "application/json;;", "application/problem+json", "application/cbor", "*/*", "application/gzip", "APPLICATION/JSON",
	}
	for range g.IntN(3) {
		d.header = append(d.header, [2]string{"Content-Type", kinds[g.IntN(len(kinds))]})
	}
}

// oddBody puts something else in a place of a body that is JSON, or for all of it.
func (g *generator) oddBody(o *promise, d *draft) {
	var object map[string]any
	if json.Unmarshal(d.body, &object) != nil || object == nil || g.IntN(6) == 0 {
		if o.kind != "" || g.IntN(4) == 0 {
			d.body = g.encode(g.any(0))
		}
		return
	}
	names := slices.Sorted(maps.Keys(object))
	properties, _ := g.contract.resolve(o.body)["properties"].(map[string]any)
	names = append(names, slices.Sorted(maps.Keys(properties))...)
	if len(names) == 0 {
		names = []string{"x"}
	}
	name := names[g.IntN(len(names))]
	switch g.IntN(4) {
	case 0:
		delete(object, name)
	case 1:
		object[g.oddText()] = g.any(1)
	case 2:
		if inner, ok := object[name].(map[string]any); ok {
			inner[g.oddText()] = g.any(1)
			break
		}
		fallthrough
	default:
		object[name] = g.any(0)
	}
	d.body = g.encode(object)
}

// brokenBody is none that anybody could read.
func (g *generator) brokenBody(_ *promise, d *draft) {
	switch g.IntN(7) {
	case 0:
		d.missing = 1 + g.IntN(100)
	case 1:
		d.chunked = true
	case 2, 3:
		d.body = d.body[:g.IntN(len(d.body)+1)]
	case 4:
		for range 1 + g.IntN(8) {
			if len(d.body) > 0 {
				d.body[g.IntN(len(d.body))] = byte(g.IntN(256))
			}
		}
	case 5:
		d.body = append([]byte(`{"action":"core.noop",`), bytes.TrimPrefix(d.body, []byte("{"))...) // a name twice
	case 6:
		if g.IntN(20) == 0 { // it is as slow as it is large
			d.body = bytes.Repeat([]byte("["), 9<<20)
			break
		}
		d.body = bytes.Repeat([]byte("["), 1<<g.IntN(16))
	}
}
