package local_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/runtime/runtimetest"
)

func newPython(tb testing.TB, program string, parameters map[string]any) *runtimetest.Action {
	tb.Helper()
	return runtimetest.NewAction(tb, attune.RuntimePython, "greet.py", program, parameters)
}

func execute(tb testing.TB, l *local.Local, a *runtimetest.Action) runtime.Result {
	tb.Helper()
	result, err := l.Execute(tb.Context(), a.Task)
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

func TestPythonDecidesByParsing(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	for name, test := range map[string]struct{ program, stdout, result string }{
		"function":          {"def run(**p): return [__name__]", "", `["greet"]`},
		"async":             {"async def run(**p): return 1", "", `1`},
		"in a branch":       {"if 1:\n def run(**p): return 1", "", `1`},
		"after a failure":   {"try:\n import absent_module\nexcept ImportError:\n def run(**p): return 1", "", `1`},
		"awaitable":         {"async def go(): return 2\ndef run(**p): return go()", "", `2`},
		"script":            {"print(__name__)", "__main__\n", ``},
		"method":            {"class A:\n def run(self): pass\nprint('script')", "script\n", ``},
		"inner function":    {"def other():\n def run(): pass\nprint('script')", "script\n", ``},
		"only text":         {"'''\ndef run(): pass\n'''\nprint('script')", "script\n", ``},
		"script's result":   {"print('{\"a\": 1}')", "{\"a\": 1}\n", `{"a":1}`},
		"main block":        {"def run(**p): return 1\nif __name__ == '__main__': print('no')", "", `1`},
		"none is null":      {"def run(**p): pass", "", `null`},
		"none, but printed": {"def run(**p): print('[1]')", "[1]\n", `[1]`},
		"exit 0 early":      {"import sys\ndef run(**p): sys.exit(0)", "", ``},
		"once":              {"print('loaded')\ndef run(**p): return 1", "loaded\n", `1`},
		"dataclass": {"from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass D:\n a: int\n" +
			"def run(**p): return dataclasses.asdict(D(1))", "", `{"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newPython(t, test.program, nil)
			result := execute(t, l, a)
			if !result.Completed() || a.Stdout.String() != test.stdout || string(result.Value) != test.result {
				t.Errorf("stdout %q, result %s, %+v, stderr %s", a.Stdout, result.Value, result.Failure, a.Stderr)
			}
		})
	}
}

func TestPythonEntryFunctionByName(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	a := newPython(t, "def run(): return 0\ndef main(name): return name", map[string]any{"name": "x"})
	a.Task.Action.Function = "main"
	if result := execute(t, l, a); string(result.Value) != `"x"` {
		t.Errorf("%s, %+v", result.Value, result)
	}
	a = newPython(t, "print('must not run')", nil)
	a.Task.Action.Function = "main"
	result := execute(t, l, a)
	if result.Failure == nil || result.Failure.Kind != attune.FailureSetup ||
		!strings.Contains(result.Failure.Message, "greet.py defines no function main") || a.Stdout.String() != "" {
		t.Errorf("%+v, stdout %q", result.Failure, a.Stdout)
	}
}

func TestPythonValuesThatAreNotJSON(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	for program, says := range map[string]string{
		"def run(): return {1, 2}":                    "what run returned is not JSON: Object of type set",
		"def run(): return float('nan')":              "Out of range float",
		"def run(): return {'a': float('inf')}":       "Out of range float",
		"def run(): return {(1, 2): 3}":               "keys must be",
		"def run():\n a = []; a.append(a)\n return a": "Circular",
	} {
		result := execute(t, l, newPython(t, program, nil))
		if result.Failure == nil || result.Failure.Kind != attune.FailureResultInvalid ||
			!strings.Contains(result.Failure.Message, says) {
			t.Errorf("%s: %+v, want %q", program, result.Failure, says)
		}
	}
	a := newPython(t, "import os\ndef run():\n open(os.environ['ATTUNE_RESULT_FILE'], 'w').write('1')\n return {2}", nil)
	if result := execute(t, l, a); string(result.Value) != `1` || !result.Completed() {
		t.Errorf("the file comes first: %s, %+v", result.Value, result.Failure)
	}
}

func TestPythonValueTooLarge(t *testing.T) {
	t.Parallel()
	result := execute(t, newLocal(t), newPython(t, "def run(): return 'x' * 3000000", nil))
	if result.Failure == nil || result.Failure.Kind != attune.FailureResultTooLarge || result.Value != nil {
		t.Errorf("%+v", result.Failure)
	}
}

func TestPythonTracebacksBeginAtTheActionsFile(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	for program, says := range map[string]string{
		"def run():\n    return 1/0":                    "line 2, in run",
		"async def run():\n    return 1/0":              "line 2, in run",
		"x = 1\nraise ValueError('x')":                  "line 2, in <module>",
		"def run(a): pass":                              "missing 1 required positional argument: 'a'",
		"def run(:":                                     "SyntaxError",
		"import sys\ndef run(): sys.stdin.absent.other": "AttributeError",
	} {
		a := newPython(t, program, nil)
		result := execute(t, l, a)
		got := a.Stderr.String()
		if result.ExitCode == nil || *result.ExitCode != 1 || !strings.Contains(got, says) {
			t.Errorf("%q: %+v, stderr %s", program, result, got)
		}
		if strings.Contains(got, "runner-") || strings.Contains(got, "asyncio") {
			t.Errorf("our own frames are shown:\n%s", got)
		}
	}
}

func TestPythonFindsItsNeighboursAndLeavesNothing(t *testing.T) {
	t.Parallel()
	a := newPython(t, "import sys, near, far\ndef run():\n return [near.x, far.y, sys.argv, sys.path[:2]]", nil)
	pack := a.Task.Dirs.Pack
	if err := os.Mkdir(filepath.Join(pack, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"actions/near.py": "x = 1", "lib/far.py": "y = 2"} {
		if err := os.WriteFile(filepath.Join(pack, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	result := execute(t, newLocal(t), a)
	script := filepath.Join(pack, "actions/greet.py")
	want, _ := json.Marshal([]any{1, 2, []string{script}, []string{filepath.Dir(script), filepath.Join(pack, "lib")}})
	if string(result.Value) != string(want) {
		t.Errorf("%s, want %s; stderr %s", result.Value, want, a.Stderr)
	}
	err := filepath.WalkDir(pack, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, "__pycache__") {
			t.Errorf("left %s in the pack", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPythonFunctionGetsParametersByAnyDelivery(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	for delivery, variable := range map[attune.Delivery]string{
		attune.DeliverStdin: "None None", attune.DeliverFile: "None file", attune.DeliverEnv: "é None",
	} {
		for _, format := range []attune.Format{attune.FormatJSON, attune.FormatYAML, attune.FormatDotenv} {
			a := newPython(t, "import os\ndef run(name):\n print(os.environ.get('PARAM_NAME'),"+
				" os.environ.get('ATTUNE_PARAMETER_FILE') and 'file')\n return name", map[string]any{"name": "é"})
			a.Task.Action.Delivery, a.Task.Action.Format = delivery, format
			result := execute(t, l, a)
			if string(result.Value) != `"é"` || a.Stdout.String() != variable+"\n" {
				t.Errorf("%s %s: %s, stdout %q, stderr %s", delivery, format, result.Value, a.Stdout, a.Stderr)
			}
		}
	}
}

// What a function is given and gives back unchanged is the same document, whatever is in it.
func TestPythonKeepsEveryValue(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	same := func(document string) (string, runtime.Result, *runtimetest.Action) {
		a := newPython(t, "def run(value): return value", nil)
		a.Task.Parameters = json.RawMessage(`{"value":` + document + `}`)
		result := execute(t, l, a)
		return string(result.Value), result, a
	}
	for _, document := range []string{
		`123456789012345678901234567890`, `-0.5`, `true`, `null`, `[]`, `{"":{"a":[1,"b",null]}}`, `"\u0000"`, `"\ud800"`,
	} {
		if got, result, a := same(document); got != document {
			t.Errorf("%s came back as %s; %+v, stderr %s", document, got, result.Failure, a.Stderr)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		text := strings.ToValidUTF8(rapid.String().Draw(r, "text"), "?")
		document, err := json.Marshal(text)
		if err != nil {
			r.Fatal(err)
		}
		got, result, a := same(string(document))
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != text {
			r.Errorf("%s came back as %s; %+v, stderr %s", document, got, result.Failure, a.Stderr)
		}
	})
}

// An action may write whatever it likes in its private directory, also at the place of its own value.
func TestPythonValueOverwrittenIsInvalid(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	const before = "import atexit, os\nplace = os.path.join(os.path.dirname(os.environ['ATTUNE_RESULT_FILE']), 'value')\n"
	for name, spoil := range map[string]string{
		"other text": "def spoil():\n open(place, 'w').write('x')\n",
		"a fifo":     "def spoil():\n os.remove(place); os.mkfifo(place)\n",
		"a link":     "def spoil():\n os.remove(place); os.symlink('/etc/passwd', place)\n",
		"directory":  "def spoil():\n os.remove(place); os.mkdir(place)\n",
	} {
		a := newPython(t, before+spoil+"def run():\n atexit.register(spoil)\n return 1", nil)
		result := execute(t, l, a)
		if result.Failure == nil || result.Failure.Kind != attune.FailureResultInvalid || result.Value != nil {
			t.Errorf("%s: %s, %+v, stderr %s", name, result.Value, result.Failure, a.Stderr)
		}
	}
}
