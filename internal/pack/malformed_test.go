package pack_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
)

// malformed is one file that must be refused: with one fault, at this place, whose text says this.
type malformed struct{ text, at, says string }

const goodPack = "ref: p\nversion: 1.0.0\n"

// action is the beginning of a right action file; what is under test begins on line 3.
const action = "ref: p.a\nentry_point: a.sh\n"

// files returns a pack with one action, in which these files are replaced (text, text, …).
func files(replaced ...string) fstest.MapFS {
	fsys := fstest.MapFS{
		"pack.yaml":      {Data: []byte(goodPack)},
		"actions/a.yaml": {Data: []byte(action)},
		"actions/a.sh":   {Data: []byte("true\n")},
		"actions/b.py":   {Data: []byte("def run(): pass\n")},
	}
	for i := 0; i+1 < len(replaced); i += 2 {
		fsys[replaced[i]] = &fstest.MapFile{Data: []byte(replaced[i+1])}
	}
	return fsys
}

func TestMalformedPackFile(t *testing.T) {
	t.Parallel()
	for _, c := range malformedPackFiles() {
		refused(t, files("pack.yaml", c.text), c.text, "pack.yaml"+c.at, c.says)
	}
}

func TestMalformedActionFile(t *testing.T) {
	t.Parallel()
	for _, c := range malformedActionFiles() {
		refused(t, files("actions/a.yaml", c.text), c.text, "actions/a.yaml"+c.at, c.says)
	}
}

func TestMalformedActionKey(t *testing.T) {
	t.Parallel()
	for _, c := range malformedActionKeys() {
		refused(t, files("actions/a.yaml", action+c.text), c.text, "actions/a.yaml"+c.at, c.says)
	}
}

// TestMalformedSchema puts each schema where a parameter's stands: {x: SCHEMA} from line 3, column 17.
func TestMalformedSchema(t *testing.T) {
	t.Parallel()
	for _, c := range malformedSchemas() {
		text := action + "parameters: {x: " + c.text + "}\n"
		refused(t, files("actions/a.yaml", text), c.text, "actions/a.yaml"+c.at, c.says)
	}
}

// TestThereAreEnoughMalformedFiles keeps the promise of two hundred.
func TestThereAreEnoughMalformedFiles(t *testing.T) {
	t.Parallel()
	count := 0
	for _, table := range [][]malformed{
		malformedPackFiles(), malformedActionFiles(), malformedActionKeys(), malformedSchemas(),
	} {
		seen := map[string]bool{}
		for _, c := range table {
			count++
			if seen[c.text] {
				t.Errorf("twice in a table: %.80q", c.text)
			}
			seen[c.text] = true
		}
	}
	if count < 200 {
		t.Errorf("%d malformed files, want at least 200", count)
	}
}

func refused(t *testing.T, fsys fs.FS, text, at, says string) {
	t.Helper()
	p, err := pack.Read(fsys)
	if err == nil || p != nil {
		t.Errorf("%.200q: was accepted", text)
		return
	}
	found := detailsOf(t, err)
	if len(found) != 1 || found[0].Place != at || !strings.Contains(found[0].Message, says) {
		t.Errorf("%.200q:\n got %v\nwant [%s: …%s…]", text, found, at, says)
	}
}

func detailsOf(t *testing.T, err error) []attune.Detail {
	t.Helper()
	var e *attune.Error
	if !errors.As(err, &e) || e.Code != attune.CodeInvalid {
		t.Fatalf("got %v, want an attune.Error with the code invalid", err)
	}
	return e.Details
}

func malformedPackFiles() []malformed {
	return []malformed{
		{"", "", "empty"},
		{"# only a comment\n", "", "empty"},
		{"---\n", ":2:1", "want a mapping"},
		{"just text\n", ":1:1", "got a string, want a mapping"},
		{"[ref, p]\n", ":1:1", "got a list, want a mapping"},
		{"42\n", ":1:1", "got an integer, want a mapping"},
		{"~\n", ":1:1", "got nothing, want a mapping"},
		{"version: 1.0.0\n", ":1:1", "ref is missing"},
		{"{}\n", ":1:1", "ref is missing"},
		{"ref: P\n", ":1:6", "is not a pack ref"},
		{"ref: My-Pack\n", ":1:6", "is not a pack ref"},
		{"ref: 1p\n", ":1:6", "is not a pack ref"},
		{"ref: p.q\n", ":1:6", "is not a pack ref"},
		{"ref: 'p q'\n", ":1:6", "is not a pack ref"},
		{"ref: ''\n", ":1:6", "is not a pack ref"},
		{"ref: " + strings.Repeat("p", 64) + "\n", ":1:6", "is not a pack ref"},
		{"ref: pé\n", ":1:6", "is not a pack ref"},
		{"ref: ../p\n", ":1:6", "is not a pack ref"},
		{"ref: adhoc\n", ":1:6", "kept for scripts"},
		{"ref: 12\n", ":1:6", "got an integer, want a string"},
		{"ref: true\n", ":1:6", "got a boolean, want a string"},
		{"ref:\n", ":1:5", "got nothing, want a string"},
		{"ref: [p]\n", ":1:6", "got a list, want a string"},
		{"ref: {p: q}\n", ":1:6", "got a mapping, want a string"},
		{"ref: !!binary cA==\n", ":1:6", "want a string"},
		{"ref: !mine p\n", ":1:6", "want a string"},
		{"ref: p\nref: p\n", ":2:1", "given twice: first on line 1"},
		{"ref: p\nlabl: x\n", ":2:1", `unknown key "labl": did you mean "label"?`},
		{"ref: p\nLabel: x\n", ":2:1", `did you mean "label"?`},
		{"ref: p\nversin: 1\n", ":2:1", `did you mean "version"?`},
		{"ref: p\ndescriptin: x\n", ":2:1", `did you mean "description"?`},
		{"ref: p\nauthro: x\n", ":2:1", `did you mean "author"?`},
		{"ref: p\ncompletely_else: x\n", ":2:1", "known are ref, label, description, version, author, tags"},
		{"ref: p\n'': x\n", ":2:1", `unknown key ""`},
		{"ref: p\n3: x\n", ":2:1", `unknown key "3"`},
		{"ref: p\n? [a, b]\n: x\n", ":2:3", "keys are strings"},
		{"ref: p\nlabel: 3\n", ":2:8", "got an integer, want a string"},
		{"ref: p\nlabel: \"a\\nb\"\n", ":2:8", "a line break or another control character"},
		{"ref: p\nlabel: \"a\\x07\"\n", ":2:8", "control character"},
		{"ref: p\nlabel: " + strings.Repeat("x", 201) + "\n", ":2:8", "at most 200 characters"},
		{"ref: p\ndescription: [x]\n", ":2:14", "got a list, want a string"},
		{"ref: p\ndescription: " + strings.Repeat("x", 10001) + "\n", ":2:14", "at most 10000 characters"},
		{"ref: p\nversion: [1]\n", ":2:10", "got a list, want a string"},
		{"ref: p\nversion: ''\n", ":2:10", "want a version"},
		{"ref: p\nversion: a b\n", ":2:10", "want a version"},
		{"ref: p\nversion: " + strings.Repeat("1", 65) + "x\n", ":2:10", "want a version"},
		{"ref: p\nauthor: {a: b}\n", ":2:9", "got a mapping, want a string"},
		{"ref: p\ntags: one\n", ":2:7", "got a string, want a list"},
		{"ref: p\ntags: [one, 2]\n", ":2:13", "got an integer, want a string"},
		{"ref: p\ntags: [" + strings.Repeat("t,", 65) + "]\n", ":2:7", "at most 64"},
		{"ref: p\n<<: {label: x}\n", ":2:1", "merge keys"},
		{"ref: p\nlabel: *nobody\n", ":2:8", "unknown anchor"},
		{"ref: p\n---\nref: q\n", ":2:1", "a second YAML document"},
		{"ref: p\n  label: x\n", ":2:8", "not YAML"},
		{"ref: [p\n", ":2:1", "not YAML"},
		{"ref: \"p\n", ":2:1", "not YAML"},
		{"ref: p\n\tlabel: x\n", ":2:1", "not YAML"},
		{"ref: p\nlabel: 'x' y\n", ":2:12", "not YAML"},
		{"ref: @p\n", ":1:6", "not YAML"},
		{"ref: p\nlabel: \x00\n", ":2:8", "NUL"},
		{"ref: p\nlabel: é\xff\n", ":2:9", "not UTF-8"},
		{"\xff\xfer\x00e\x00f\x00", ":1:4", "NUL"},
		{"ref: p\nlabel: \x07\n", ":2:8", "control character"},
		{"ref: p\n# " + strings.Repeat("x", 256<<10) + "\n", "", "at most 262144"},
		{"ref: p\nmeta: " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "\n", ":2:70", "at most 64 levels"},
		{"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", ":1:14", "aliases written out"},
		{"ref: p\nmeta: &m [*m]\n", ":2:11", "at most 64 levels"},
	}
}

func malformedActionFiles() []malformed {
	return []malformed{
		{"", "", "empty"},
		{"- ref: p.a\n", ":1:1", "got a list, want a mapping"},
		{"echo hello\n", ":1:1", "got a string, want a mapping"},
		{"entry_point: a.sh\n", ":1:1", "ref is missing"},
		{"ref: p.a\n", ":1:1", "entry_point is missing"},
		{"ref: a\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: p.A\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: P.a\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: p.a.b\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: p.\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: .a\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: 'p. a'\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: p.ä\nentry_point: a.sh\n", ":1:6", "is not an action ref"},
		{"ref: q.a\nentry_point: a.sh\n", ":1:6", "not of this pack: want p.a"},
		{"ref: 1.5\nentry_point: a.sh\n", ":1:6", "got a number, want a string"},
		{"ref: [p.a]\nentry_point: a.sh\n", ":1:6", "got a list, want a string"},
		{"ref:\nentry_point: a.sh\n", ":1:5", "got nothing, want a string"},
		{"ref: p.a\nentry_point: 3\n", ":2:14", "got an integer, want a string"},
		{"ref: p.a\nentry_point:\n", ":2:13", "got nothing, want a string"},
		{"ref: p.a\nentry_point: ''\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: /bin/sh\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: ../a.sh\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: ../../etc/passwd\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: x/../a.sh\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: ./a.sh\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: .\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: ..\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: 'x\\a.sh'\n", ":2:14", "not a file inside the pack"},
		{"ref: p.a\nentry_point: c.sh\n", ":2:14", "there is no file actions/c.sh: did you mean a.sh?"},
		{"ref: p.a\nentry_point: something.sh\n", ":2:14", "there is no file actions/something.sh: add it"},
		{"ref: p.a\nentry_point: actions\n", ":2:14", "is a directory"},
		{"ref: p.a\nentry_point: pack.yaml\n", ":2:14", "no runtime is known by this file ending"},
		{"ref: p.a\nentry_point: a.sh:main\n", ":2:14", "only a Python action"},
		{"ref: p.a\nentry_point: 'b.py:'\n", ":2:14", "can't name a function"},
		{"ref: p.a\nentry_point: b.py:1x\n", ":2:14", "can't name a function"},
		{"ref: p.a\nentry_point: b.py:a:b\n", ":2:14", "can't name a function"},
		{"ref: p.a\nentry_point: 'b.py:a()'\n", ":2:14", "can't name a function"},
		{"ref: p.a\nentry_point: a.sh\nentrypoint: a.sh\n", ":3:1", "two names of one key"},
		{"ref: p.a\nentrypoint: a.sh\nentry_point: b.py\n", ":3:1", "two names of one key"},
	}
}
