package pack_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/pack"
)

func TestSecretParametersAreHiddenAndRevealed(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"type":"object","properties":{"user":{"type":"string"},"n":{},
		"password":{"type":"string","x-secret":true},"token":{"x-secret":true},"open":{"x-secret":false}}}`)
	for name, test := range map[string]struct{ given, shown, hidden string }{
		"one":       {`{"user":"ada","password":"<hunter2>"}`, `{"password":"********","user":"ada"}`, `{"password":"<hunter2>"}`},
		"two":       {`{"token":{"a":[1.50]},"password":""}`, `{"password":"********","token":"********"}`, `{"password":"","token":{"a":[1.50]}}`},
		"none":      {`{"user":"ada","open":"x"}`, `{"user":"ada","open":"x"}`, ``},
		"null":      {`{"password":null}`, `{"password":null}`, ``},
		"the mask":  {`{"password":"********"}`, `{"password":"********"}`, `{"password":"********"}`},
		"big digit": {`{"n":12345678901234567890.10,"token":1e400}`, `{"n":12345678901234567890.10,"token":"********"}`, `{"token":1e400}`},
	} {
		shown, hidden, err := pack.Hide(schema, json.RawMessage(test.given))
		if err != nil || string(shown) != test.shown || string(hidden) != test.hidden {
			t.Errorf("%s: shown %s, hidden %s, %v", name, shown, hidden, err)
		}
		back, err := pack.Reveal(shown, hidden)
		if err != nil || !equalJSON(t, back, []byte(test.given)) {
			t.Errorf("%s: revealed %s, %v", name, back, err)
		}
	}
	if _, hidden, err := pack.Hide(pack.ScriptSchema(), json.RawMessage(`{"password":"x"}`)); hidden != nil || err != nil {
		t.Errorf("a script has no secret parameters: %s, %v", hidden, err)
	}
}

// equalJSON compares digit by digit.
func equalJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	decode := func(text []byte) string {
		dec := json.NewDecoder(strings.NewReader(string(text)))
		dec.UseNumber()
		var value any
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		sorted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(sorted)
	}
	return decode(a) == decode(b)
}
