package attune_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
)

var update = flag.Bool("update", false, "write the generated parts of docs/lifecycle.md")

func TestEveryWalkThroughTheTableEndsOnceAndStaysThere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		status := attune.StatusRequested
		for range 200 {
			next := successors(status)
			if status.Final() != (len(next) == 0) {
				t.Fatalf("%s: final is %v, and it can become %v", status, status.Final(), next)
			}
			if len(next) == 0 {
				return
			}
			step := rapid.SampledFrom(next).Draw(t, "next")
			if !status.CanBecome(step) || status == step {
				t.Fatalf("the table has %s to %s, CanBecome says no", status, step)
			}
			status = step
		}
	})
}

func successors(s attune.Status) []attune.Status {
	var next []attune.Status
	for _, t := range attune.Transitions() {
		if t.From == s {
			next = append(next, t.To)
		}
	}
	return next
}

func TestEveryStatusIsReachedAndEveryEndIsReachable(t *testing.T) {
	t.Parallel()
	reached := []attune.Status{attune.StatusRequested}
	for i := 0; i < len(reached); i++ {
		for _, next := range successors(reached[i]) {
			if !slices.Contains(reached, next) {
				reached = append(reached, next)
			}
		}
	}
	if len(reached) != len(attune.Statuses()) {
		t.Errorf("reached %v of %v", reached, attune.Statuses())
	}
}

func TestOnlyWhatIsInTheTableIsLegal(t *testing.T) {
	t.Parallel()
	legal := 0
	for _, from := range attune.Statuses() {
		for _, to := range attune.Statuses() {
			if from.CanBecome(to) {
				legal++
			}
		}
	}
	if legal != len(attune.Transitions()) {
		t.Errorf("%d pairs are legal, the table has %d", legal, len(attune.Transitions()))
	}
	if attune.Status("done").Valid() || attune.Status("").CanBecome(attune.StatusRunning) {
		t.Error("a word that is no status passes for one")
	}
}

func TestLifecycleDiagramIsTheTable(t *testing.T) {
	t.Parallel()
	const file = "docs/lifecycle.md"
	const begin, end = "<!-- generated from status.go: go test . -update -->\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	generated, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks %q or %q", file, begin, end)
	}
	if generated == diagram() {
		return
	}
	if !*update {
		t.Fatalf("the diagram in %s is not the table: run `go test . -update`", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+diagram()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// diagram is the table as a Mermaid state diagram, which code hosts draw.
func diagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> requested\n")
	for _, t := range attune.Transitions() {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", t.From, t.To, t.Cause)
	}
	for _, s := range attune.Statuses() {
		if s.Final() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	b.WriteString("```\n")
	return b.String()
}
