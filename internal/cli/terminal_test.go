package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/cli"
)

// hostile is what a terminal would obey: a title, a colour by one byte, another direction, a line of its own.
const hostile = "a\x1b]0;title\x07\u009b31m\u202e\u2028\x7f\r\nattune: all is well"

// orders are the characters that must not be there; YAML has a quote for all but those that turn the direction.
var orders = map[string]string{
	"text": "\x1b\x07\x7f\r\u009b\u202e\u2028", "json": "\x1b\x07\x7f\r\u009b\u202e\u2028", "yaml": "\x1b\x07\x7f\r\u009b\u2028",
}

// TestNoAnswerSteersATerminal has a server that tells what users and actions may have written in names and messages.
func TestNoAnswerSteersATerminal(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/executions/1":
			fmt.Fprintf(w, `{"id":1,"action":%[1]s,"status":"failed","worker":%[1]s,"error":{"kind":"exit","message":%[1]s}}`, text)
		case "/api/v1/executions/1/artifacts":
			fmt.Fprintf(w, `{"items":[{"name":%s,"type":"file","bytes":1}]}`, text)
		case "/api/v1/workers":
			fmt.Fprintf(w, `{"items":[{"id":1,"name":%[1]s,"host":%[1]s,"status":"active","labels":{%[1]s:%[1]s}}]}`, text)
		case "/api/v1/packs":
			fmt.Fprintf(w, `{"items":[{"ref":%[1]s,"version":%[1]s,"label":%[1]s}]}`, text)
		case "/api/v1/audit":
			fmt.Fprintf(w, `{"items":[{"id":1,"actor":%[1]s,"event":%[1]s,"subject":%[1]s}]}`, text)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"status":404,"detail":%[1]s,"errors":[{"location":%[1]s,"message":%[1]s}]}`, text)
		}
	}))
	t.Cleanup(server.Close)
	for _, command := range []string{
		"execution show 1", "execution artifacts 1", "worker list", "pack list", "audit list", "execution show 2", "execution cancel 2", "run core.echo",
	} {
		for _, form := range []string{"text", "json", "yaml"} {
			var out, told bytes.Buffer
			cli.Main(cli.Process{
				Args:    append(strings.Fields(command), "-o", form, "--server", server.URL, "--data-dir", t.TempDir()),
				Environ: []string{"ATTUNE_TOKEN=t"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &told,
			})
			shown := out.String() + told.String()
			if i := strings.IndexAny(shown, orders[form]); i >= 0 || shown == "" {
				t.Errorf("%s -o %s shows %q", command, form, shown)
			}
			for line := range strings.Lines(shown) {
				if strings.HasPrefix(line, "attune: all is well") {
					t.Errorf("%s -o %s has a line that is none: %q", command, form, shown)
				}
			}
			if form == "json" && out.Len() > 0 && !json.Valid(out.Bytes()) {
				t.Errorf("%s: no JSON: %q", command, shown)
			}
		}
	}
}
