package pack_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
)

func mustRead(t *testing.T, fsys fstest.MapFS) *pack.Pack {
	t.Helper()
	p, err := pack.Read(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReadNormalisesAnAction(t *testing.T) {
	t.Parallel()
	p := mustRead(t, files("pack.yaml", `{ref: p, label: A pack, version: 1.0, author: Me, tags: [a, b]}`, "actions/a.yaml", `
ref: p.a
label: An action
description: Does it
runtime: core.python
entrypoint: b.py:main
parameters:
  last: {type: string, secret: false}
  token: {type: string, secret: true}
  name: {type: string, required: true, position: 1}
  times: {type: integer, default: 0x10, position: 0, x-widget: slider}
output_schema: {greeting: {type: string, required: true}}
timeout_seconds: 1.5
parameter_delivery: file
parameter_format: yaml
output_format: jsonl
env: {TZ: UTC, PORT: 8080, ON: yes}
retry: {max_attempts: 3, delay: 2, backoff: linear, max_delay: 1m, on: [failed, abandoned]}
worker_selector: {zone: eu, disk/ssd: true}
secrets: [api_key, Password]
may_start: [web.deploy, p.*]
`))
	want := attune.Action{
		Ref: "p.a", Label: "An action", Description: "Does it", Runtime: attune.RuntimePython,
		EntryPoint: "actions/b.py", Function: "main",
		Parameters: json.RawMessage(`{"additionalProperties":false,"properties":{"last":{"type":"string"},` +
			`"name":{"type":"string","x-position":1},` +
			`"times":{"default":16,"type":"integer","x-position":0,"x-widget":"slider"},"token":{"type":"string","x-secret":true}},` +
			`"required":["name"],"type":"object","x-order":["times","name","last","token"]}`),
		Output: json.RawMessage(
			`{"properties":{"greeting":{"type":"string"}},"required":["greeting"],"type":"object"}`),
		TimeoutSeconds: 1.5, Delivery: attune.DeliverFile, Format: attune.FormatYAML, OutputFormat: attune.OutputJSONL,
		Env:     map[string]string{"TZ": "UTC", "PORT": "8080", "ON": "yes"},
		Secrets: []string{"api_key", "Password"}, MayStart: []string{"web.deploy", "p.*"},
		Retry: attune.Retry{MaxAttempts: 3, Delay: 2 * time.Second, Backoff: attune.BackoffLinear, MaxDelay: time.Minute,
			On: []attune.Status{attune.StatusFailed, attune.StatusAbandoned}},
		WorkerSelector: map[string]string{"zone": "eu", "disk/ssd": "true"},
	}
	if diff := cmp.Diff([]attune.Action{want}, p.Actions); diff != "" {
		t.Error(diff)
	}
	wantPack := attune.Pack{Ref: "p", Label: "A pack", Version: "1.0", Author: "Me", Tags: []string{"a", "b"}}
	if diff := cmp.Diff(wantPack, p.Pack); diff != "" {
		t.Error(diff)
	}
}

func TestReadFillsInTheFormatsDefaults(t *testing.T) {
	t.Parallel()
	p := mustRead(t, files("pack.yaml", "ref: p"))
	want := attune.Action{
		Ref: "p.a", Runtime: attune.RuntimeShell, EntryPoint: "actions/a.sh",
		Parameters: json.RawMessage(`{"additionalProperties":false,"properties":{},"type":"object"}`),
		Delivery:   attune.DeliverStdin, Format: attune.FormatJSON, OutputFormat: attune.OutputAuto,
	}
	if diff := cmp.Diff([]attune.Action{want}, p.Actions); diff != "" {
		t.Error(diff)
	}
	if p.Label != "p" || p.Version != "0.0.0" {
		t.Errorf("got label %q and version %q", p.Label, p.Version)
	}
}

func TestReadKeepsACompleteSchema(t *testing.T) {
	t.Parallel()
	p := mustRead(t, files("actions/a.yaml", action+`
parameters:
  type: object
  required: [server]
  properties:
    server: {type: object, position: 0, properties: {port: {type: integer, default: 80}}, required: [port]}
    size: {$ref: '#/$defs/size'}
  $defs: {size: {enum: [s, m], properties: {x: {}}}}
output: {type: [string, "null"]}
`))
	want := `{"$defs":{"size":{"enum":["s","m"],"properties":{"x":{}}}},"properties":{` +
		`"server":{"properties":{"port":{"default":80,"type":"integer"}},"required":["port"],"type":"object","x-position":0},` +
		`"size":{"$ref":"#/$defs/size"}},"required":["server"],"type":"object","x-order":["server","size"]}`
	if got := string(p.Actions[0].Parameters); got != want {
		t.Errorf("parameters:\n got %s\nwant %s", got, want)
	}
	if got := string(p.Actions[0].Output); got != `{"type":["string","null"]}` {
		t.Errorf("output: got %s", got)
	}
}

func TestParametersNamedLikeKeywordsAreParameters(t *testing.T) {
	t.Parallel()
	p := mustRead(t, files("actions/a.yaml", action+"parameters: {type: {type: string}, required: {type: boolean}}\n"))
	want := `{"additionalProperties":false,"properties":{"required":{"type":"boolean"},"type":{"type":"string"}},` +
		`"type":"object","x-order":["type","required"]}`
	if got := string(p.Actions[0].Parameters); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestReadWarnsOfWhatHasNoEffect(t *testing.T) {
	t.Parallel()
	fsys := files("pack.yaml", goodPack+"system: true\nconf_schema: {any: thing}\n", "actions/a.yaml", action+
		"enabled: false\ntags: [x]\nruntime_version: '>=3.12'\nparameter_delivery: env\nparameter_format: json\n",
		"sensors/s.yaml", "ref: p.s\n", "requirements.txt", "# nothing\n\n", "package.json", "\n")
	var got []string
	for _, w := range mustRead(t, fsys).Warnings {
		got = append(got, w.String())
	}
	want := []string{
		"actions/a.yaml:3:1: enabled has no effect here",
		"actions/a.yaml:4:1: tags has no effect here",
		"actions/a.yaml:5:1: runtime_version has no effect here",
		"actions/a.yaml:7:1: parameter_format has no effect with parameter_delivery: env",
		"pack.yaml:3:1: system has no effect here",
		"pack.yaml:4:1: conf_schema has no effect here",
		"sensors: the directory has no effect here",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadWarnsOfAPackWithoutActions(t *testing.T) {
	t.Parallel()
	p := mustRead(t, fstest.MapFS{"pack.yaml": {Data: []byte(goodPack)}})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].Message, "no action") {
		t.Errorf("got %v", p.Warnings)
	}
}

func TestReadReportsAllFaultsInOrder(t *testing.T) {
	t.Parallel()
	fsys := files("pack.yaml", "ref: p\nlable: x\n", "actions/a.yaml", "ref: p.A\nentry_point: ../a.sh\nfoo_bar_baz: 1\n",
		"actions/b.yaml", "ref: q.b\nentry_point: b.py\nsecrets: [x-y]\n",
		"actions/c.yml", "ref: p.c\nentry_point: a.sh\n", "actions/d.yaml", "ref: p.c\nentry_point: a.sh\n",
		"requirements.txt", "# one\nrequests>=2\n", "package.json", "{}\n")
	p, err := pack.Read(fsys)
	if p != nil {
		t.Error("a pack came with the error")
	}
	var got []string
	for _, d := range detailsOf(t, err) {
		got = append(got, d.Place)
	}
	want := []string{
		"actions/a.yaml:1:6", "actions/a.yaml:2:14", "actions/a.yaml:3:1", "actions/b.yaml:1:6", "actions/b.yaml:3:11",
		"actions/d.yaml:1:6", "pack.yaml:2:1", "package.json:1:1", "requirements.txt:2:1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadBoundsTheFaultsItLists(t *testing.T) {
	t.Parallel()
	_, err := pack.Read(files("pack.yaml", goodPack+strings.Repeat("x: 1\n", 1000)))
	found := detailsOf(t, err)
	if len(found) != 101 || found[100].Message != "and 900 more" {
		t.Errorf("got %d details, the last one %q", len(found), found[len(found)-1])
	}
}

func TestReadRefusesWhatIsNoPack(t *testing.T) {
	t.Parallel()
	refused(t, fstest.MapFS{}, "an empty directory", "pack.yaml", "the file is missing")
	refused(t, files("a\\b", ""), "a backslash", `"a\\b"`, "backslashes")
	refused(t, files("a\nb", ""), "a line break", `"a\nb"`, "control characters")
	refused(t, files(strings.Repeat("d/", 130)+"f", ""), "a long path", `"`+strings.Repeat("d/", 130)+`f"`, "at most 240")
	fifo := files()
	fifo["pipe"] = &fstest.MapFile{Mode: os.ModeNamedPipe}
	refused(t, fifo, "a pipe", "pipe", "not a regular file")
	if _, err := pack.Read(os.DirFS(filepath.Join(t.TempDir(), "missing"))); err == nil {
		t.Error("a missing directory was read")
	}
}

func TestNamesThatAreNotUTF8AreNamedAsSuch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"caf\xe9.txt", "caf\xe9/a.txt"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "pack.yaml"), goodPack)
		write(t, filepath.Join(dir, name), "x")
		root, err := pack.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pack.Read(root.FS())
		if found := detailsOf(t, err); len(found) != 1 || !strings.HasPrefix(found[0].Place, `"caf\xe9`) || !strings.Contains(found[0].Message, "not UTF-8") {
			t.Errorf("%q: %v", name, found)
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPackThatIsTooLargeLacksNothing(t *testing.T) {
	t.Parallel()
	many, large := files(), files()
	for i := range 10_001 {
		many[fmt.Sprintf("a/%d", i)] = &fstest.MapFile{}
	}
	large["a.bin"] = &fstest.MapFile{Data: make([]byte, 64<<20+1)}
	for text, fsys := range map[string]fstest.MapFS{"more than 10000 files": many, "more than 64 MiB": large} {
		_, err := pack.Read(fsys)
		if found := detailsOf(t, err); len(found) != 1 || !strings.Contains(found[0].Message, text) {
			t.Errorf("%s: %v", text, found)
		}
	}
}

func TestOtherEndingsAreHintedAt(t *testing.T) {
	t.Parallel()
	refused(t, fstest.MapFS{"pack.yml": {Data: []byte(goodPack)}}, "pack.yml", "pack.yaml", "rename pack.yml to pack.yaml")
	p := mustRead(t, files("actions/a.yaml", action+"runner_type: python\n"))
	if len(p.Warnings) != 1 || p.Warnings[0].Place != "actions/a.yaml:3:14" || !strings.Contains(p.Warnings[0].Message, "says shell: python is what runs it") {
		t.Errorf("%v", p.Warnings)
	}
}

func TestLinksStayInsideThePack(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside.sh")
	write(t, outside, "true\n")
	for target, says := range map[string]string{
		outside:         "leaves the pack",
		"../../outside": "leaves the pack",
		"missing.sh":    "leads nowhere",
		"..":            "not a regular file",
		"real.sh":       "",
		"../lib/l.sh":   "",
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"pack.yaml": goodPack, "actions/a.yaml": action, "actions/real.sh": "true\n", "lib/l.sh": "true\n",
		} {
			write(t, filepath.Join(dir, name), text)
		}
		if err := os.Symlink(target, filepath.Join(dir, "actions", "a.sh")); err != nil {
			t.Fatal(err)
		}
		root, err := pack.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pack.Read(root.FS())
		_, _, archiveErr := pack.Archive(root.FS())
		if says == "" && (err != nil || archiveErr != nil) {
			t.Errorf("link to %s: %v, %v", target, err, archiveErr)
		}
		if says != "" && (err == nil || archiveErr == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("link to %s: got %v and %v, want …%s…", target, err, archiveErr, says)
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
