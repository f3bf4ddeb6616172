package runtimetest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
)

// allowed are the variables beside the task's own that a shell or Python's start may add by itself.
var allowed = []string{
	"ATTUNE_EXECUTION_ID", "ATTUNE_PACK_DIR", "ATTUNE_RESULT_FILE", "HOME", "LANG", "LC_CTYPE", "OLDPWD", "PATH", "PWD",
	"SHLVL", "TMPDIR", "_",
}

func (s *Subject) testEnvironment(t *testing.T) {
	a := s.newAction(t, s.Environment, nil)
	result := s.execute(t.Context(), t, a)
	if !result.Completed() {
		t.Fatalf("%+v, stderr %s", result, a.Stderr)
	}
	got := map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(a.Stdout.String(), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
		if !slices.Contains(allowed, name) {
			t.Errorf("the worker's %s came through", name)
		}
	}
	want := map[string]string{
		"HOME": a.Task.Dirs.Home, "TMPDIR": a.Task.Dirs.Tmp, "ATTUNE_PACK_DIR": a.Task.Dirs.Pack, "LANG": "C.UTF-8",
		"ATTUNE_RESULT_FILE": a.Task.ResultFile(), "ATTUNE_EXECUTION_ID": "42",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
}

// awkward is text that a shell, a quote, a template or a line reader would change.
var awkward = []string{
	"", " ", "plain", "two words", "it's", `"quoted"`, "$(touch pwned) `touch pwned` $HOME ${x}", "a\nb\n\nc\n", "\ttab\r\n",
	`back\slash \n \`, "-n -e", "*?[a]~", "; rm -rf x & | > y", "é ü 漢字 😀 \u202e", "'''\"\"\"", "{{ x }} %s %(x)s",
	"\x01\x1b[31m\x7f",
	"null", "true", "1.50", `{"json": [1]}`,
}

func (s *Subject) testParameters(t *testing.T) {
	for _, text := range awkward {
		s.assertEcho(t, t.Errorf, text)
	}
}

func (s *Subject) testAnyText(t *testing.T) {
	characters := rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("'\"\\$`\n\r\t !*{}#%&;<>|=~\u00a0\u2028")))
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringOfN(characters, 0, 200, -1).Draw(r, "text")
		// An environment can't hold a NUL, which has tests of its own.
		s.assertEcho(t, r.Errorf, strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", ""))
	})
}

func (s *Subject) assertEcho(t *testing.T, errorf func(string, ...any), text string) {
	t.Helper()
	a := s.newAction(t, s.Echo, map[string]any{"text": text})
	a.Task.Action.OutputFormat = attune.OutputText
	result := s.execute(t.Context(), t, a)
	if got := a.Stdout.String(); got != text || !result.Completed() {
		errorf("%q came as %q; %+v, stderr %s", text, got, result, a.Stderr)
	}
}

func (s *Subject) testDelivery(t *testing.T) {
	parameters := map[string]any{"text": "it's\n$(x)", "n": json.Number("12345678901234567890123")}
	for format, want := range map[attune.Format]string{
		attune.FormatJSON:   `{"n":12345678901234567890123,"text":"it's\n$(x)"}` + "\n",
		attune.FormatDotenv: "n='12345678901234567890123'\ntext='it'\\''s\n$(x)'\n",
	} {
		a := s.newAction(t, s.ReadsStdin, parameters)
		a.Task.Action.Format, a.Task.Action.OutputFormat = format, attune.OutputText
		s.execute(t.Context(), t, a)
		if got := a.Stdout.String(); got != want {
			t.Errorf("%s on standard input: %q, want %q; stderr %s", format, got, want, a.Stderr)
		}
	}
	for _, delivery := range []attune.Delivery{attune.DeliverFile, attune.DeliverEnv} {
		a := s.newAction(t, s.ReadsStdin, parameters)
		a.Task.Action.Delivery = delivery
		if result := s.execute(t.Context(), t, a); a.Stdout.String() != "" || !result.Completed() {
			t.Errorf("%s leaves %q on standard input; %+v", delivery, a.Stdout, result)
		}
	}
}

// testIgnoredInput has more than any pipe holds.
func (s *Subject) testIgnoredInput(t *testing.T) {
	a := s.newAction(t, s.IgnoresIt, map[string]any{"text": strings.Repeat("x", 1<<20)})
	if result := s.execute(t.Context(), t, a); !result.Completed() {
		t.Errorf("%+v, stderr %s", result, a.Stderr)
	}
}
