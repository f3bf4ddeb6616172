package runtime_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime"
)

func listed(t *testing.T, env *runtime.Environment) []string {
	t.Helper()
	list, err := env.List()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEnvironmentHoldsTheTasksVariablesAndNoOthers(t *testing.T) {
	t.Parallel()
	task := newTask(t, `{}`)
	task.Env = map[string]string{"LANG": "C.UTF-8", "HOME": "/elsewhere", "PATH": "/usr/bin:/opt/bin:/bin"}
	env := runtime.NewEnvironment(task)
	env.PrependPath("/opt/bin", "/unused")
	want := []string{
		"ATTUNE_PACK_DIR=/pack", "ATTUNE_RESULT_FILE=" + task.ResultFile(), "HOME=/elsewhere", "LANG=C.UTF-8",
		"PATH=/opt/bin:/usr/bin:/bin", "PWD=/work", "TMPDIR=/tmp",
	}
	if diff := cmp.Diff(want, listed(t, env)); diff != "" {
		t.Error(diff)
	}
}

func TestPathFallsBack(t *testing.T) {
	t.Parallel()
	for _, of := range []map[string]string{nil, {"PATH": ""}} {
		task := newTask(t, `{}`)
		task.Env = of
		env := runtime.NewEnvironment(task)
		env.PrependPath("/opt/bin", "/usr/bin:/bin")
		if !slices.Contains(listed(t, env), "PATH=/opt/bin:/usr/bin:/bin") {
			t.Error(listed(t, env))
		}
	}
}

func TestParametersAsVariables(t *testing.T) {
	t.Parallel()
	task := newTask(t, `{"s":"a'\"$(x)\nü","List":[1, {"k": null}],"big":123456789012345678901234567890,"f":1.50,
		"yes":true,"none":null,"empty":"","nul":"a\u0000b","half":"\ud800","fine":"\ufffd\ud83d\ude00"}`)
	env := runtime.NewEnvironment(task)
	if err := env.AddParameters(task); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range listed(t, env) {
		if strings.HasPrefix(entry, "PARAM_") {
			got = append(got, entry)
		}
	}
	want := []string{
		"PARAM_BIG=123456789012345678901234567890", "PARAM_EMPTY=", "PARAM_F=1.50", "PARAM_FINE=\uFFFD😀",
		`PARAM_LIST=[1,{"k":null}]`, "PARAM_NONE=", "PARAM_S=a'\"$(x)\nü", "PARAM_YES=true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if notes := strings.Join(env.Notes(), "\n"); len(env.Notes()) != 2 || !strings.Contains(notes, "PARAM_NUL is not set") {
		t.Error(notes)
	}
}

func TestLongValuesAreLeftOutAndNoted(t *testing.T) {
	t.Parallel()
	fits, over := strings.Repeat("x", runtime.MaxEnvValue), strings.Repeat("x", runtime.MaxEnvValue+1)
	for delivery, says := range map[attune.Delivery]string{
		attune.DeliverStdin: "standard input", attune.DeliverFile: "$ATTUNE_PARAMETER_FILE", attune.DeliverEnv: "set parameter_delivery",
	} {
		task := newTask(t, `{"fits":"`+fits+`","over":"`+over+`"}`)
		task.Action.Delivery = delivery
		env := runtime.NewEnvironment(task)
		if err := env.AddParameters(task); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(listed(t, env), "PARAM_FITS="+fits) {
			t.Error("PARAM_FITS is missing")
		}
		if len(env.Notes()) != 1 || !strings.Contains(env.Notes()[0], "PARAM_OVER") || !strings.Contains(env.Notes()[0], says) {
			t.Error(env.Notes())
		}
	}
}

func TestVariablesThatCannotBeSetAreASetupError(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"": "x", "A=B": "x", "A": "x\x00", "A\x00": "x"} {
		task := newTask(t, `{}`)
		task.Env = map[string]string{name: value}
		var setup *runtime.SetupError
		if _, err := runtime.NewEnvironment(task).List(); !errors.As(err, &setup) {
			t.Errorf("%q=%q: %v", name, value, err)
		}
	}
}

const awkward = `{"text":"it's\n\"x\" $(y)","n":12345678901234567890123,"deep":{"list":[true,null,"no","1",{}]}}`

func TestDocuments(t *testing.T) {
	t.Parallel()
	task := newTask(t, awkward)
	for format, want := range map[attune.Format]string{
		attune.FormatJSON: awkward + "\n",
		attune.FormatDotenv: "text='it'\\''s\n\"x\" $(y)'\nn='12345678901234567890123'\n" +
			"deep='{\"list\":[true,null,\"no\",\"1\",{}]}'\n",
	} {
		got, err := task.Document(format)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

func TestYAMLDocumentReadsBackAsItWas(t *testing.T) {
	t.Parallel()
	document, err := newTask(t, awkward).Document(attune.FormatYAML)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Load(document, &got); err != nil {
		t.Fatalf("%v in:\n%s", err, document)
	}
	delete(got, "n") // the library itself rounds it; the document below has every digit
	want := map[string]any{
		"text": "it's\n\"x\" $(y)",
		"deep": map[string]any{"list": []any{true, nil, "no", "1", map[string]any{}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(document), "n: 12345678901234567890123\n") {
		t.Errorf("digits are lost:\n%s", document)
	}
}

func TestDeliverWritesAPrivateFile(t *testing.T) {
	t.Parallel()
	task := newTask(t, `{"a":1}`)
	task.Action.Delivery, task.Action.Format = attune.DeliverFile, attune.FormatJSON
	env := runtime.NewEnvironment(task)
	stdin, err := runtime.Deliver(task, env)
	if err != nil || stdin != nil {
		t.Fatalf("%q, %v", stdin, err)
	}
	name := task.Dirs.Private + "/parameters.json"
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if content, _ := os.ReadFile(name); string(content) != "{\"a\":1}\n" {
		t.Errorf("%q", content)
	}
	if !slices.Contains(listed(t, env), "ATTUNE_PARAMETER_FILE="+name) {
		t.Error("the environment does not name it")
	}
}

func TestDeliverByStdinAndEnv(t *testing.T) {
	t.Parallel()
	task := newTask(t, `{"a": 1}`)
	for delivery, want := range map[attune.Delivery]string{attune.DeliverStdin: "{\"a\":1}\n", attune.DeliverEnv: ""} {
		task.Action.Delivery = delivery
		stdin, err := runtime.Deliver(task, runtime.NewEnvironment(task))
		if err != nil || string(stdin) != want {
			t.Errorf("%s: %q, %v", delivery, stdin, err)
		}
	}
}
