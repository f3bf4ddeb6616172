package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// operation is one of the OpenAPI document, with what its parameters are called.
type operation struct {
	method, path string
	Parameters   []struct {
		Name string
		In   string // path query header
	}
	Role      attune.Role            `json:"x-attune-role"`
	Execution string                 `json:"x-attune-execution"`
	Security  *[]map[string][]string // empty: it needs no token
}

// documented returns all operations of the document.
func documented(t *testing.T, a *api.API) []operation {
	t.Helper()
	text, err := a.Document()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range document.Paths {
		for method, o := range methods {
			o.method, o.path = strings.ToUpper(method), path
			all = append(all, o)
		}
	}
	if len(all) < 20 {
		t.Fatalf("the document has %d operations", len(all))
	}
	return all
}

// target is the operation's URL with a good value for each parameter of its path, or value for the one that is named.
func (o operation) target(name, value string) string {
	path := o.path
	for placeholder, good := range map[string]string{
		"id": "1", "stream": "stdout", "ref": "core.echo", "worker": "w1", "name": "files/x", "key": "api_key",
	} {
		if placeholder == name {
			good = value
		}
		path = strings.ReplaceAll(path, "{"+placeholder+"}", good)
	}
	return path
}

// noText are values that a text of PostgreSQL can't hold, as a URL writes them.
var noText = []string{"%00", "a%00b", "%ff", "a%c3%28", "%ed%a0%80", "core%00.echo"}

func TestWhatIsNoTextIsWrongInputEverywhere(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, operations := newServerOn(t, db)
		tried := 0
		for _, o := range documented(t, operations) {
			for _, value := range noText {
				for _, p := range o.Parameters {
					place := `"location":"` + p.In + "." + p.Name + `"`
					switch p.In {
					case "path":
						s.wantProblem(o.method, o.target(p.Name, value), "", 422, place)
					case "query":
						s.wantProblem(o.method, o.target("", "")+"?"+p.Name+"="+value, "", 422, place)
						s.wantProblem(o.method, o.target("", "")+"?"+p.Name+"=1&"+p.Name+"="+value, "", 422, place)
					case "header":
						s.wantHeaderProblem(o, p.Name, value)
					default:
						t.Errorf("%s %s: a parameter in %s", o.method, o.path, p.In)
					}
					tried++
				}
				s.wantProblem(o.method, o.target("", "")+"?"+value+"=x", "", 422, "query")
			}
			s.wantProblem(o.method, o.target("", "")+"?x=%zz", "", 422, `"location":"query"`)
		}
		if tried < 100 {
			t.Errorf("tried %d values", tried)
		}
	})
}

// wantHeaderProblem sends a value in a header, unless HTTP itself can't.
func (s *server) wantHeaderProblem(o operation, name, value string) {
	s.t.Helper()
	raw, err := url.QueryUnescape(value)
	if err != nil || strings.Contains(raw, "\x00") {
		return
	}
	request, err := http.NewRequest(o.method, s.url+o.target("", ""), strings.NewReader(`{"action":"core.noop"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, name: {raw}}
	if status, text := s.do(request); status != 422 || !strings.Contains(text, `"location":"header.`+name+`"`) {
		s.t.Errorf("%s %s with %s: %s: %d %s", o.method, o.path, name, value, status, text)
	}
}

func TestBodiesOfAnyTextAreAnsweredFor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		for body, status := range map[string]int{
			// In JSON a NUL may be written, and what may hold any text keeps it.
			`{"action":"core.echo","parameters":{"message":"a\u0000b"}}`:                  201,
			`{"action":"core.noop","context":{"a\u0000b":"\u0000"}}`:                      201,
			`{"script":{"name":"a.sh","content":"echo\u0000"}}`:                           201,
			`{"script":{"name":"a.sh","content":""},"parameters":{"any":"\u0000\ud800"}}`: 201,
			`{"script":{"name":"a.sh","content":""},"parameters":{"a\u0000b":1}}`:         422,
			`{"action":"core\u0000.echo"}`:                                                422,
			`{"action":"core.noop\u0000"}`:                                                422,
			`{"script":{"name":"a\u0000b.sh","content":""}}`:                              422,
			`{"action":"core.noop","env":{"A\u0000":"x"}}`:                                422,
			`{"action":"core.noop","env":{"A":"\u0000"}}`:                                 422,
			`{"action":"core.noop","a\u0000b":1}`:                                         422,
			// Bytes that are no UTF-8 are no JSON.
			"{\"action\":\"core.echo\",\"parameters\":{\"message\":\"a\xffb\"}}": 422,
			"{\"action\":\"core.noop\xff\"}":                                     422,
			"{\"action\":\"core.noop\",\"context\":{\"\xc3(\":1}}":               422,
			"{\"action\":\"core.noop\",\"env\":{\"A\":\"\xff\"}}":                422,
			"{\"script\":{\"name\":\"a.sh\",\"content\":\"\xff\"}}":              422,
			"\x00":     422,
			"\xff\xfe": 422,
		} {
			got, text := s.send(http.MethodPost, "/api/v1/executions", body)
			if got != status {
				t.Errorf("%q: %d, want %d: %s", body, got, status, text)
			}
		}
		if page, text := s.send(http.MethodGet, "/api/v1/executions", ""); page != 200 {
			t.Errorf("what was stored can't be listed: %d %s", page, text)
		}
	})
}

func TestPacksOfAnyTextAreAnsweredFor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, _ := newServerOn(t, db)
		install := func(name string, files map[string]string) {
			status, text := s.send(http.MethodPost, "/api/v1/packs", string(archiveOf(t, files)))
			if status != 201 && status != 422 {
				t.Errorf("%s: %d %s", name, status, text)
			}
			if status, text := s.send(http.MethodGet, "/api/v1/actions", ""); status != 200 {
				t.Errorf("%s: what was stored can't be listed: %d %s", name, status, text)
			}
		}
		for _, value := range []string{`"a\0b"`, `"\uD800"`, "\"\xff\""} {
			for _, key := range []string{"ref", "label", "description", "version", "author", "tags"} {
				files := demo("1", "x")
				of := value
				if key == "tags" {
					of = "[" + value + "]"
				}
				files["pack.yaml"] = "ref: demo\nversion: \"1\"\nlabel: Demo\n"
				if strings.Contains(files["pack.yaml"], key+":") {
					files["pack.yaml"] = strings.ReplaceAll("ref: demo\nversion: \"1\"\nlabel: Demo\n", key+": ", key+": "+of+" #")
				} else {
					files["pack.yaml"] += key + ": " + of + "\n"
				}
				install("pack.yaml "+key+": "+of, files)
			}
			for _, line := range []string{
				"ref: ", "label: ", "description: ", "entry_point: ", "runner_type: ", "env: {A: ", "worker_selector: {zone: ", "worker_selector: {? ",
				"parameters: {a: {type: string, default: ", "parameters: {? ", "output: {a: {description: ",
			} {
				files := demo("1", "x")
				end := strings.Repeat("}", strings.Count(line, "{"))
				own := "ref: demo.x\nrunner_type: shell\nentry_point: x.sh\n"
				if key, _, _ := strings.Cut(line, " "); strings.Contains(own, key) {
					own = strings.ReplaceAll(own, key+" ", key+" "+value+" #")
				} else {
					own += line + value + end + "\n"
				}
				files["actions/x.yaml"] = own
				install(own, files)
			}
		}
	})
}
