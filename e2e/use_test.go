package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmesFirstCommand is the main job, as the README's first screen has it.
func TestReadmesFirstCommand(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const command = "go run ./cmd/attune run core.echo message=hello"
	if !strings.Contains(string(readme), command) || !strings.Contains(string(readme), "make test") {
		t.Fatalf("the README does not show %q and make test", command)
	}
	cmd := exec.CommandContext(t.Context(), "go", strings.Fields(command)[1:]...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "ATTUNE_DATA_DIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v: %s", out, err, stderr.String())
	}
}

// TestExamplePacks installs the packs that readers learn from, and runs what they say.
func TestExamplePacks(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded)
	packs, err := filepath.Abs("../examples/packs")
	if err != nil {
		t.Fatal(err)
	}
	h.attune(0, "pack", "install", filepath.Join(packs, "greetings"))
	for _, use := range []struct {
		run  []string
		want string
	}{
		{[]string{"greetings.greet", "name=Ada", "language=de"}, "{\n  \"greeting\": \"Guten Tag, Ada!\"\n}\n"},
		{[]string{"greetings.shout", "message=it is $(id)"}, "IT IS $(ID)\n{\"characters\": 11}\n"},
		{[]string{"greetings.card", `person:={"name": "Ada"}`, "width=20"}, `"********************\n    Hello, Ada!     \n********************"` + "\n"},
		{[]string{"greetings.flaky"}, "attempt 1 of 3\nattempt 2 of 3\nattempt 3 of 3\n"},
	} {
		if got := h.attune(0, append([]string{"run", "-q"}, use.run...)...); got != use.want {
			t.Errorf("%q wrote %q, want %q", use.run, got, use.want)
		}
	}
}

// TestParametersStayOffCommandLines looks at every command line of the machine while an action runs.
func TestParametersStayOffCommandLines(t *testing.T) {
	t.Parallel()
	const spy = "for file in /proc/[0-9]*/cmdline; do { tr '\\0' ' ' <$file; } 2>/dev/null || true; echo; done"
	for name, content := range map[string]string{
		"spy.sh": spy,
		"spy.py": "import subprocess, sys\ndef run(value):\n    subprocess.run([\"bash\", \"-c\", " + `r"""` + spy + `"""` + "])\n",
		"old.py": "import subprocess, sys\nsys.stdin.read()\nsubprocess.run([\"bash\", \"-c\", " + `r"""` + spy + `"""` + "])\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, embedded)
			const value = "kept-off-6f1c3a"
			dir := t.TempDir()
			for file, text := range map[string]string{name: content, "params.json": `{"value": "` + value + `"}`} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			seen := h.attune(0, "run", filepath.Join(dir, name), "--params", filepath.Join(dir, "params.json"), "-q")
			if !strings.Contains(seen, name) {
				t.Fatalf("the action did not even see its own command line: %s", head(seen))
			}
			if strings.Contains(seen, value) {
				t.Errorf("the parameter is on a command line:\n%s", seen)
			}
		})
	}
}
