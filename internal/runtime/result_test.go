package runtime_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

// A 4 KiB slack is kept beside the limit of 1000 bytes; past both, the beginning is gone.
var long = strings.Repeat("x", 10_000)

func TestReadResult(t *testing.T) {
	t.Parallel()
	const invalid, tooLarge = attune.FailureResultInvalid, attune.FailureResultTooLarge
	big := `{"n":123456789012345678901234567890,"z":"a\u0000b","f":1.50,"e":1e400}`
	for _, test := range []struct {
		name, format, file, returned, stdout, promised string
		want                                           string
		failure                                        attune.FailureKind
		says                                           string
	}{
		{name: "nothing", format: "auto"},
		{name: "text is no result", format: "text", stdout: `{"a":1}`},
		{name: "auto takes an object", format: "auto", stdout: "log\n{\"a\": 1}\n\n", want: `{"a":1}`},
		{name: "auto takes an array", format: "auto", stdout: "[1, 2]", want: `[1,2]`},
		{name: "auto leaves scalars", format: "auto", stdout: "12\n"},
		{name: "auto leaves text", format: "auto", stdout: "[INFO] done\n"},
		{name: "auto reads the true end", format: "auto", stdout: long + "\n" + `{"a":1}`, want: `{"a":1}`},
		{name: "auto leaves a long line of text", format: "auto", stdout: long},
		{name: "auto refuses a long line like JSON", format: "auto", stdout: `{"a":"` + long + `"}`, failure: tooLarge},
		{name: "auto refuses more than the limit", format: "auto", stdout: `["` + long[:1000] + `"]`, failure: tooLarge},
		{name: "auto keeps the limit", format: "auto", stdout: `["` + long[:996] + `"]`, want: `["` + long[:996] + `"]`},
		{name: "json takes all", format: "json", stdout: "{\n \"a\": 1\n}\n", want: `{"a":1}`},
		{name: "json takes a scalar", format: "json", stdout: "12\n", want: `12`},
		{name: "json takes the last line", format: "json", stdout: "log\n\"x\"\n", want: `"x"`},
		{name: "json takes the last line of much", format: "json", stdout: long + "\n7\n", want: `7`},
		{name: "json is promised", format: "json", stdout: "log\nmore", failure: invalid, says: "last line of stdout is not JSON"},
		{name: "json is promised by nothing", format: "json", failure: invalid, says: "stdout is empty"},
		{name: "json too large", format: "json", stdout: "{\n\"a\":\"" + long + "\"\n}", failure: tooLarge},
		{name: "json one line too large", format: "json", stdout: `"` + long + `"`, failure: tooLarge},
		{name: "jsonl", format: "jsonl", stdout: "{\"a\": 1}\n\n2\n", want: `[{"a":1},2]`},
		{name: "jsonl of nothing", format: "jsonl", want: `[]`},
		{name: "jsonl names the line", format: "jsonl", stdout: "1\n\nx\n", failure: invalid, says: "line 3 of stdout"},
		{name: "jsonl too large", format: "jsonl", stdout: strings.Repeat("1\n", 6000), failure: tooLarge},
		{name: "yaml", format: "yaml", stdout: "a: [1, 0x10, .5]\nb: ~\nc: no\nd: \"1\"\n", want: `{"a":[1,16,0.5],"b":null,"c":"no","d":"1"}`},
		{name: "yaml keeps digits", format: "yaml", stdout: "123456789012345678901234567890", want: `123456789012345678901234567890`},
		{name: "yaml aliases", format: "yaml", stdout: "a: &x {b: 1}\nc: *x\n", want: `{"a":{"b":1},"c":{"b":1}}`},
		{name: "yaml bomb", format: "yaml", stdout: bomb(), failure: tooLarge},
		{name: "yaml infinity", format: "yaml", stdout: "a: .inf", failure: invalid, says: "no form in JSON"},
		{name: "yaml merge", format: "yaml", stdout: "a: &x {b: 1}\nc: {<<: *x}\n", failure: invalid, says: "line 2"},
		{name: "yaml broken", format: "yaml", stdout: "a: [", failure: invalid, says: "not one YAML document"},
		{name: "file first", format: "json", file: "[1]", returned: `2`, stdout: `3`, want: `[1]`},
		{name: "then the function", format: "json", returned: `2`, stdout: `3`, want: `2`},
		{name: "null leaves it to stdout", format: "json", returned: `null`, stdout: `3`, want: `3`},
		{name: "null alone is null", format: "json", returned: `null`, want: `null`},
		{name: "digits and escapes stay", format: "auto", file: big, want: big},
		{name: "empty file", format: "auto", file: " \n", failure: invalid, says: "ATTUNE_RESULT_FILE) is empty"},
		{name: "broken file", format: "auto", file: `{"a":`, failure: invalid, says: "ATTUNE_RESULT_FILE) is not JSON"},
		{name: "NaN", format: "auto", file: `NaN`, failure: invalid},
		{name: "two documents", format: "auto", file: `1 2`, failure: invalid},
		{name: "not UTF-8", format: "auto", file: "\"\xff\"", failure: invalid, says: "UTF-8"},
		{name: "large file", format: "auto", file: `"` + long + `"`, failure: tooLarge, says: "1000 bytes"},
		{name: "what was promised", format: "auto", file: `{"n":1}`, promised: `{"n":1}`, want: `{"n":1}`},
		{name: "not what was promised", format: "auto", file: `{"n":2}`, promised: `{"n":1}`, failure: invalid, says: "promised"},
		{name: "nothing where something was promised", format: "auto", promised: `{"n":1}`, failure: invalid, says: "promised"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			task := newTask(t, `{}`)
			task.Action.OutputFormat = attune.OutputFormat(test.format)
			if test.promised != "" {
				task.CheckResult = onlyResult(test.promised)
			}
			if test.file != "" {
				if err := os.WriteFile(task.ResultFile(), []byte(test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			returned := runtime.Returned{}
			if test.returned != "" {
				returned.Value = json.RawMessage(test.returned)
			}
			tail := runtime.NewTail(task.MaxResultBytes)
			fmt.Fprint(tail, test.stdout)
			got, failure := runtime.ReadResult(task, returned, tail)
			if string(got) != test.want {
				t.Errorf("result %.200s, want %.200s", got, test.want)
			}
			assertFailure(t, failure, test.failure, test.says)
		})
	}
}

// onlyResult accepts one result and no other.
func onlyResult(promised string) func(json.RawMessage) error {
	return func(result json.RawMessage) error {
		if string(result) != promised {
			return fmt.Errorf("promised %s, got %s", promised, result)
		}
		return nil
	}
}

func assertFailure(t *testing.T, got *attune.Failure, kind attune.FailureKind, says string) {
	t.Helper()
	switch {
	case kind == "" && got != nil:
		t.Errorf("failure %+v", got)
	case kind != "" && (got == nil || got.Kind != kind || !strings.Contains(got.Message, says)):
		t.Errorf("failure %+v, want %s saying %q", got, kind, says)
	}
}

// bomb is small, nests little, and is a gigabyte when written out.
func bomb() string {
	text := "a0: &a0 [" + strings.Repeat("x,", 9) + "x]\n"
	for i := range 9 {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9), i)
	}
	return text
}

func TestReadResultRefusesWhatWouldBlockOrLeadElsewhere(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(path string) error{
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := newTask(t, `{}`)
			if err := leave(task.ResultFile()); err != nil {
				t.Fatal(err)
			}
			_, failure := runtime.ReadResult(task, runtime.Returned{}, runtime.NewTail(1))
			assertFailure(t, failure, attune.FailureResultInvalid, "result file")
		})
	}
}

func TestFunctionsValueThatIsNoJSONIsInvalid(t *testing.T) {
	t.Parallel()
	task := newTask(t, `{}`)
	_, failure := runtime.ReadResult(task, runtime.Returned{Invalid: "run returned a set"}, runtime.NewTail(1))
	assertFailure(t, failure, attune.FailureResultInvalid, "a set")
}

// However a stream is cut into writes, its last line is found if it fits.
func TestTailKeepsTheEndOfAnyStream(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		task := &runtime.Task{
			Action: &attune.Action{OutputFormat: attune.OutputAuto}, MaxResultBytes: 100, Dirs: runtime.Dirs{Private: "/nowhere"},
		}
		tail := runtime.NewTail(task.MaxResultBytes)
		for _, n := range rapid.SliceOf(rapid.IntRange(0, 12_000)).Draw(r, "writes") {
			fmt.Fprint(tail, strings.Repeat("y", n))
		}
		last := `{"v":"` + rapid.StringMatching(`[a-z]{0,80}`).Draw(r, "last") + `"}`
		text := "\n" + last + "\n"
		cut := rapid.IntRange(0, len(text)).Draw(r, "cut")
		fmt.Fprint(tail, text[:cut])
		fmt.Fprint(tail, text[cut:])
		got, failure := runtime.ReadResult(task, runtime.Returned{}, tail)
		if string(got) != last || failure != nil {
			r.Fatalf("%s, %+v", got, failure)
		}
	})
}
