package pack_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
)

// server is a schema with everything that a user may get wrong.
const server = `{"type":"object","additionalProperties":false,"required":["name"],"properties":{
	"name":{"type":"string","pattern":"^[a-z]+$"},
	"count":{"type":"integer","minimum":1,"maximum":9007199254740993,"default":1},
	"size":{"enum":["s","m"]},
	"server":{"type":"object","additionalProperties":false,"properties":{
		"port":{"type":"integer","default":80},"host":{"type":"string"}}},
	"hosts":{"type":"array","items":{"type":"object","properties":{"port":{"type":"integer","default":22}}}},
	"mail":{"type":"string","format":"email"},
	"either":{"anyOf":[{"type":"integer"},{"type":"null"}]}}}`

func TestParametersFillInDefaults(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{"name":"a"}`:                                            `{"count":1,"name":"a"}`,
		`{"name":"a","count":3}`:                                  `{"count":3,"name":"a"}`,
		`{"name":"a","server":{}}`:                                `{"count":1,"name":"a","server":{"port":80}}`,
		`{"name":"a","server":{"port":1,"host":"h"}}`:             `{"count":1,"name":"a","server":{"host":"h","port":1}}`,
		`{"name":"a","hosts":[{},{"port":1},{"x":2}]}`:            `{"count":1,"hosts":[{"port":22},{"port":1},{"port":22,"x":2}],"name":"a"}`,
		`{"name":"a","count":9007199254740993}`:                   `{"count":9007199254740993,"name":"a"}`,
		`{"name":"a","count":3.0}`:                                `{"count":3,"name":"a"}`,
		`{"name":"a","count":1e3}`:                                `{"count":1000,"name":"a"}`,
		`{"name":"a","either":null}`:                              `{"count":1,"either":null,"name":"a"}`,
		"{\"name\":\"a\",\n\"server\":{\"host\":\"\\u0000<&>\"}}": `{"count":1,"name":"a","server":{"host":"\u0000<&>","port":80}}`,
	} {
		got, err := pack.Parameters(json.RawMessage(server), json.RawMessage(given), 0)
		if err != nil || string(got) != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", given, got, err, want)
		}
	}
}

func TestParametersAreRefusedWithTheirPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, at, says string }{
		{``, "parameters.name", "required, but missing"},
		{`{}`, "parameters.name", "required, but missing"},
		{`{"name":3}`, "parameters.name", "got number, want string"},
		{`{"name":"A"}`, "parameters.name", "want a string that matches ^[a-z]+$"},
		{`{"name":"a","count":"3"}`, "parameters.count", "got string, want integer"},
		{`{"name":"a","count":0}`, "parameters.count", "want at least 1"},
		{`{"name":"a","count":9007199254740994}`, "parameters.count", "want at most 9007199254740993"},
		{`{"name":"a","count":1.5}`, "parameters.count", "got number, want integer"},
		{`{"name":"a","size":"l"}`, "parameters.size", `want one of "s", "m"`},
		{`{"name":"a","server":{"port":"x"}}`, "parameters.server.port", "got string, want integer"},
		{`{"name":"a","server":{"prot":1}}`, "parameters.server.prot", `unknown property "prot": did you mean "port"?`},
		{`{"name":"a","hosts":[{},{"port":"x"}]}`, "parameters.hosts[1].port", "got string, want integer"},
		{`{"name":"a","cuont":1}`, "parameters.cuont", `unknown parameter "cuont": did you mean "count"?`},
		{`{"name":"a","completely":1}`, "parameters.completely", "known are count, either, hosts"},
		{`{"name":"a","mail":"x"}`, "parameters.mail", "format email"},
		{`{"name":"a","either":"x"}`, "parameters.either", "fits none of the alternatives: got string, want integer; or got string, want null"},
	} {
		_, err := pack.Parameters(json.RawMessage(server), json.RawMessage(c.given), 0)
		found := detailsOf(t, err)
		if len(found) != 1 || found[0].Place != c.at || !strings.Contains(found[0].Message, c.says) {
			t.Errorf("%s:\n got %v\nwant [%s: …%s…]", c.given, found, c.at, c.says)
		}
	}
}

func TestParametersThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for given, says := range map[string]string{
		`[]`: "must be a JSON object", `null`: "must be a JSON object", `"x"`: "must be a JSON object",
		`{`: "ends too early", `{"a":1}{}`: "more than one", `{"a":1,"a":2}`: "given twice",
		`{'a':1}`: "not JSON", `{"a":1e999999999}`: "parameters.a: the number", `{"a":{"b":[0,[1e401]]}}`: "parameters.a.b[1][0]: the number", `{"a":` + strings.Repeat("1", 401) + `}`: "at most 400",
		"{\"a\":\"\xff\"}": "not UTF-8", `{"a":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`: "64 levels",
		`{"a":"` + strings.Repeat("x", 1<<20) + `"}`: "at most 1048576",
	} {
		_, err := pack.Parameters(pack.ScriptSchema(), json.RawMessage(given), 0)
		if attune.ErrorCode(err) != attune.CodeInvalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80s: got %v, want …%s…", given, err, says)
		}
	}
	if _, err := pack.Parameters(pack.ScriptSchema(), json.RawMessage(`{"a":"four"}`), 10); err == nil {
		t.Error("12 bytes were accepted where 10 are possible")
	}
	long := json.RawMessage(`{"type":"object","properties":{"a":{"default":"0123456789"}}}`)
	if _, err := pack.Parameters(long, nil, 10); err == nil {
		t.Error("a default made 18 bytes of parameters where 10 are possible")
	}
}

func TestScriptsTakeAnyParameterThatHasAName(t *testing.T) {
	t.Parallel()
	got, err := pack.Parameters(pack.ScriptSchema(), json.RawMessage(`{"b":[1],"a":"x"}`), 0)
	if err != nil || string(got) != `{"a":"x","b":[1]}` {
		t.Errorf("got %s, %v", got, err)
	}
	_, err = pack.Parameters(pack.ScriptSchema(), json.RawMessage(`{"a-b":1,"x":1,"X":2}`), 0)
	if found := detailsOf(t, err); len(found) != 2 || found[0].Place != "parameters.a-b" || found[1].Place != "parameters.x" {
		t.Errorf("got %v", found)
	}
}

func TestErrorsNeverRepeatAValue(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"type":"integer"}`, `{"enum":["a"]}`, `{"pattern":"^x$"}`, `{"format":"email"}`, `{"maxLength":3}`,
		`{"const":"a"}`, `{"not":{"type":"string"}}`, `{"anyOf":[{"type":"null"},{"maxLength":2}]}`, `false`,
		`{"contentEncoding":"base64"}`, `{"contentMediaType":"application/json"}`,
	} {
		whole := json.RawMessage(`{"type":"object","properties":{"p":` + schema + `}}`)
		_, err := pack.Parameters(whole, json.RawMessage(`{"p":"hunter2!"}`), 0)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", schema, err)
		}
	}
}

func TestCheckResult(t *testing.T) {
	t.Parallel()
	s, err := pack.Compile(json.RawMessage(`{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CheckResult(json.RawMessage(`{"n":1,"more":[]}`)); err != nil {
		t.Error(err)
	}
	for given, at := range map[string]string{`{}`: "result.n", `{"n":"x"}`: "result.n", `3`: "result"} {
		if found := detailsOf(t, s.CheckResult(json.RawMessage(given))); len(found) != 1 || found[0].Place != at {
			t.Errorf("%s: got %v, want %s", given, found, at)
		}
	}
	if err := s.CheckResult(json.RawMessage(`{`)); attune.ErrorCode(err) != attune.CodeInvalid {
		t.Errorf("no JSON: got %v", err)
	}
}

func TestCompileRefusesWhatIsNoSchema(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{``, `{`, `3`, `{"type":"x"}`, `{"$ref":"file:///etc/passwd"}`, `{"$ref":"http://x/y"}`} {
		if _, err := pack.Compile(json.RawMessage(schema)); attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("%q: got %v, want invalid", schema, err)
		}
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","additionalProperties":false,"properties":{
		"s":{"type":"string"},"i":{"type":"integer"},"n":{"type":"number"},"b":{"type":"boolean"},
		"l":{"type":"array"},"o":{"type":"object"},"any":{},"in":{"type":["integer","null"]},
		"is":{"type":["integer","string"]},"e":{"enum":["a",1]},"r":{"$ref":"#/$defs/d"},
		"u":{"anyOf":[{"type":"boolean"},{"type":"array"}]}},"$defs":{"d":{"type":"integer"}}}`
	for _, c := range []struct{ key, text, want string }{
		{"s", "5", `"5"`}, {"s", "", `""`}, {"s", "null", `"null"`}, {"s", "$(x) \"'\n", `"$(x) \"'\n"`},
		{"i", "5", `5`}, {"i", "-12345678901234567890", `-12345678901234567890`}, {"i", "5.0", `5.0`},
		{"n", "1.50", `1.50`}, {"n", "3", `3`}, {"b", "true", `true`}, {"b", "false", `false`},
		{"l", `[1, "a"]`, `[1,"a"]`}, {"o", `{"a": {"b": 1}}`, `{"a":{"b":1}}`}, {"any", "5", `"5"`},
		{"in", "null", `null`}, {"in", "5", `5`}, {"is", "5", `5`}, {"is", "x", `"x"`}, {"e", "1", `1`}, {"e", "a", `"a"`},
		{"r", "5", `5`}, {"u", "true", `true`}, {"u", "[]", `[]`},
	} {
		value, err := pack.Convert(json.RawMessage(schema), c.key, c.text)
		if err != nil {
			t.Errorf("%s=%s: %v", c.key, c.text, err)
			continue
		}
		var buffer bytes.Buffer
		if err := json.NewEncoder(&buffer).Encode(value); err != nil || strings.TrimSpace(buffer.String()) != c.want {
			t.Errorf("%s=%s: got %s, %v, want %s", c.key, c.text, buffer.String(), err, c.want)
		}
	}
	for _, c := range []struct{ key, text, says string }{
		{"i", "five", "want an integer, like 3"}, {"i", "1.5", "want an integer"}, {"i", "007", "want an integer"},
		{"i", "", "want an integer"}, {"n", "1,5", "want a number"}, {"b", "yes", "want true or false"},
		{"l", "a,b", "want a list in JSON"}, {"l", "{}", "want a list in JSON"}, {"o", "a=b", "want an object in JSON"},
		{"in", "x", "want an integer, like 3, or null"}, {"r", "x", "want an integer"}, {"i", "1e99999", "want an integer"},
		{"bb", "x", `unknown parameter "bb": did you mean "b"?`},
	} {
		_, err := pack.Convert(json.RawMessage(schema), c.key, c.text)
		found := detailsOf(t, err)
		if len(found) != 1 || found[0].Place != "parameters."+c.key || !strings.Contains(found[0].Message, c.says) {
			t.Errorf("%s=%s: got %v, want …%s…", c.key, c.text, found, c.says)
		}
	}
	if value, err := pack.Convert(pack.ScriptSchema(), "x", "5"); err != nil || value != "5" {
		t.Errorf("a script's parameter: got %v, %v, want a string", value, err)
	}
}

// TestParametersAreStable: what was filled in and written once stays as it is, byte for byte.
func TestParametersAreStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := map[string]any{"name": rapid.StringMatching(`[a-z]+`).Draw(t, "name")}
		if rapid.Bool().Draw(t, "has server") {
			given["server"] = map[string]any{"host": rapid.String().Draw(t, "host")}
		}
		if rapid.Bool().Draw(t, "has count") {
			given["count"] = rapid.Int64Range(1, 9007199254740993).Draw(t, "count")
		}
		raw, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		once, err := pack.Parameters(json.RawMessage(server), raw, 0)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := pack.Parameters(json.RawMessage(server), once, 0)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}

func TestCheckEnvironment(t *testing.T) {
	t.Parallel()
	if err := pack.CheckEnvironment(map[string]string{"TZ": "UTC", "LANG": "C", "http_proxy": "", "_x1": "ü"}); err != nil {
		t.Error(err)
	}
	err := pack.CheckEnvironment(map[string]string{"A B": "", "PATH": "/", "ATTUNE_X": "", "N": "\x00", "OK": "1"})
	var got []string
	for _, d := range detailsOf(t, err) {
		got = append(got, d.Place)
	}
	if strings.Join(got, " ") != "env.A B env.ATTUNE_X env.N env.PATH" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkParameters(b *testing.B) {
	for b.Loop() {
		if _, err := pack.Parameters(json.RawMessage(server), json.RawMessage(`{"name":"a"}`), 0); err != nil {
			b.Fatal(err)
		}
	}
}
