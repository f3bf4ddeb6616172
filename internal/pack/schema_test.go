package pack_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/pack"
)

// Whoever submits scripts with schemas of their own must not fill the memory with them.
func TestCompiledSchemasAreRememberedWithinBounds(t *testing.T) {
	t.Parallel()
	for i := range 600 {
		schema := json.RawMessage(fmt.Sprintf(`{"type":"object","maxProperties":%d}`, i))
		first, err := pack.Compile(schema)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := pack.Compile(schema); err != nil || again != first {
			t.Fatalf("%s is compiled again: %v", schema, err)
		}
		if n := pack.CountRemembered(); n > 256 {
			t.Fatalf("%d schemas are remembered", n)
		}
	}
	large := json.RawMessage(`{"title":"` + strings.Repeat("x", 64<<10) + `"}`)
	if _, err := pack.Compile(large); err != nil || pack.Remembered(large) {
		t.Errorf("one of %d bytes is remembered: %v", len(large), err)
	}
	if _, err := pack.Compile(json.RawMessage(`{"type":7}`)); err == nil || pack.Remembered(json.RawMessage(`{"type":7}`)) {
		t.Errorf("one that is none is remembered: %v", err)
	}
}
