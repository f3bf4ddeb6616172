package local_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime/runtimetest"
)

// BenchmarkPythonFunction measures a whole execution, and as "overhead" how much longer it takes than Python alone
// that does nothing (1.0: no longer), measured turn by turn so that both see the same machine.
func BenchmarkPythonFunction(b *testing.B) {
	l := newLocal(b)
	python, ok := capability(l, attune.RuntimePython)
	if !ok {
		b.Skip("no Python")
	}
	a := newPython(b, "def run(name): return name", map[string]any{"name": "x"})
	measure(b, a, func() { execute(b, l, a) }, python.Path, "-I", "-c", "pass")
}

// BenchmarkShell is the same for a script that does nothing, beside bash alone.
func BenchmarkShell(b *testing.B) {
	l := newLocal(b)
	bash, _ := capability(l, attune.RuntimeShell)
	a := newShell(b, "true", map[string]any{"name": "x"})
	measure(b, a, func() { execute(b, l, a) }, bash.Path, "-c", "true")
}

func measure(b *testing.B, a *runtimetest.Action, run func(), bare ...string) {
	b.Helper()
	var ours, theirs time.Duration
	for b.Loop() {
		begin := time.Now()
		run()
		ours += time.Since(begin)
		begin = time.Now()
		if err := exec.CommandContext(b.Context(), bare[0], bare[1:]...).Run(); err != nil {
			b.Fatalf("%s: %v", strings.Join(bare, " "), err)
		}
		theirs += time.Since(begin)
	}
	if a.Stderr.String() != "" {
		b.Fatal(a.Stderr)
	}
	b.ReportMetric(float64(ours)/float64(theirs), "overhead")
	b.ReportMetric(float64(theirs.Microseconds())/float64(b.N), "bare-µs/op")
}
