package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/config"
)

func load(t *testing.T, file string, environ ...string) (*config.Config, error) {
	t.Helper()
	src := config.Source{DataDir: t.TempDir(), Environ: environ, HostName: "Web 1"}
	if file != "" {
		src.File = filepath.Join(t.TempDir(), "attune.yaml")
		if err := os.WriteFile(src.File, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(src)
}

// contractExample is the file of the contract's section 5, as far as this version supports it.
const contractExample = `
database:       {url: "sqlite:attune.db", max_connections: 20}
message_queue:  {url: "inproc:", exchange: attune.executions}
server:         {listen: "127.0.0.1:7080"}
worker:
  name:
  worker_type: local
  runtime_id:
  host:
  port:
  max_concurrent_tasks: 10
  heartbeat_interval: 30
  task_timeout: 300
  shutdown_timeout: 30
  kill_grace: 10
  max_output_bytes: 10MiB
  max_result_bytes: 1MiB
  labels: {}
  path:
  trace: false
artifacts:      {dir: artifacts, retention_days: 7}
security:       {encryption_key_file: ""}
log:            {level: info, format: auto}
`

func TestContractExampleIsTheDefault(t *testing.T) {
	t.Parallel()
	fromFile, err := load(t, contractExample)
	if err != nil {
		t.Fatal(err)
	}
	byDefault, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	for i, setting := range byDefault.Settings() {
		got := fromFile.Settings()[i]
		if setting.Key != "artifacts.dir" && !equal(got.Value, setting.Value) {
			t.Errorf("%s: the file gives %v, the default is %v", setting.Key, got.Value, setting.Value)
		}
	}
	w := byDefault.Worker
	if w.Name != "web-1" || w.Host != "Web 1" || w.HeartbeatInterval != 30*time.Second || w.MaxOutputBytes != 10<<20 {
		t.Errorf("defaults: %+v", w)
	}
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]string:
		return len(a) == len(b.(map[string]string))
	case []string:
		return slices.Equal(a, b.([]string))
	}
	return a == b
}

func TestFileThenEnvironment(t *testing.T) {
	t.Parallel()
	c, err := load(t, "worker: {max_concurrent_tasks: 3, task_timeout: 1m30s, labels: {zone: eu}}\n",
		"ATTUNE__WORKER__MAX_CONCURRENT_TASKS=20", "ATTUNE__WORKER__LABELS=zone=us, disk=ssd", "ATTUNE_DATA_DIR=/x")
	if err != nil {
		t.Fatal(err)
	}
	w := c.Worker
	if w.MaxConcurrentTasks != 20 || w.TaskTimeout != 90*time.Second || w.Labels["zone"] != "us" || w.Labels["disk"] != "ssd" {
		t.Errorf("got %+v", w)
	}
	if o := c.Origin("worker.max_concurrent_tasks"); o != "ATTUNE__WORKER__MAX_CONCURRENT_TASKS" {
		t.Errorf("origin %q", o)
	}
	if o := c.Origin("worker.task_timeout"); !strings.HasSuffix(o, "attune.yaml:1:35") {
		t.Errorf("origin %q", o)
	}
}

func TestListsAreListsOrSeparatedByCommas(t *testing.T) {
	t.Parallel()
	want := []string{"https://a.example", "http://b.example:8080"}
	fromFile, err := load(t, "server:\n  cors_origins:\n  - https://a.example\n  - http://b.example:8080\n")
	if err != nil || !slices.Equal(fromFile.Server.Origins, want) {
		t.Errorf("%q %v", fromFile.Server.Origins, err)
	}
	fromEnvironment, err := load(t, "", "ATTUNE__SERVER__CORS_ORIGINS=https://a.example, http://b.example:8080")
	if err != nil || !slices.Equal(fromEnvironment.Server.Origins, want) {
		t.Errorf("%q %v", fromEnvironment.Server.Origins, err)
	}
	var shown strings.Builder
	if err := fromFile.Write(&shown); err != nil || !strings.Contains(shown.String(), "cors_origins: ['https://a.example', 'http://b.example:8080']") {
		t.Errorf("%s %v", shown.String(), err)
	}
}

func TestFaultsNamePlaceAndWhatIsRight(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"wroker: {name: x}\n":                               {"attune.yaml:1:10", "wroker.name", "did you mean worker.name?"},
		"worker:\n  max_concurent_tasks: 3\n":               {"attune.yaml:2:3", "did you mean worker.max_concurrent_tasks?"},
		"worker:\n  max_concurrent_tasks: many\n":           {"attune.yaml:2:25", `"many" is not a whole number from 1`},
		"worker: {max_concurrent_tasks: 0}\n":               {"whole number from 1"},
		"worker: {max_concurrent_tasks: [1]}\n":             {"must be one value"},
		"worker: {port: 70000}\n":                           {`"70000" is neither a port nor an address: write 9100`},
		"worker: {port: web}\n":                             {`"web" is neither a port nor an address`},
		"worker: {secrets_delivery: mail}\n":                {"env, file"},
		"database: {url: \"postgres://u:hunter2@h/d\"}\n":   {"so message_queue.url must be amqp://"},
		"message_queue: {url: \"amqp://h\"}\n":              {"so database.url must be postgres://"},
		"server: {listen: \"0.0.0.0:7080\"}\n":              {"tokens and secrets would go there in clear"},
		"server: {listen: nonsense}\n":                      {"is not an address"},
		"server: {url: \"attune.example:7080\"}\n":          {"server.url", "write https://attune.example:7080"},
		"server: {url: \"https://u:hunter2@h\"}\n":          {"leave out users", "write https://h"},
		"server: {url: \"ftp://h\"}\n":                      {"not the address of a server"},
		"server: {url: \"https://h/?x=1\"}\n":               {"leave out users"},
		"server: {cors_origins: [\"*\"]}\n":                 {"attune.yaml:1:24", "would let every page"},
		"server: {cors_origins: [https://A.example]}\n":     {"is not an origin", "in lower case"},
		"server: {cors_origins: [https://a.example/]}\n":    {"nothing after it"},
		"server: {cors_origins: [\"null\"]}\n":              {"is not an origin"},
		"server: {cors_origins: [https://a.example:443]}\n": {"leave out the port"},
		"server: {cors_origins: {a: b}}\n":                  {"must be a list"},
		"server: {cors_origins: [[a]]}\n":                   {"must be a list of texts"},
		"server: {rate_limit: -1}\n":                        {"whole number from 0"},
		"server: {audit_retention_days: x}\n":               {"whole number from 0"},
		"worker: {name: Web}\n":                             {"not a worker name"},
		"worker: {worker_type: remote}\n":                   {"not supported in this version"},
		"worker: {labels: [a]}\n":                           {"attune.yaml:1:18", "must be a mapping, like {zone: eu"},
		"worker: {labels: {\"\": x}}\n":                     {"a label without a name"},
		"foo: 1\n":                                          {"attune.yaml:1:1", "foo: there is no such section: write one of"},
		"wroker:\n":                                         {"there is no such section: did you mean worker?"},
		"listen: 127.0.0.1:1\n":                             {"did you mean the key listen in server?"},
		"log: {level: &l debug, format: *l}\n":              {"attune.yaml:1:14", "auto, text, json"},
		"database: {url: \"sqlite::memory:\"}\n":            {"write sqlite:PATH, a file's path"},
		"database: {url: \"sqlite:a.db?mode=ro\"}\n":        {"write sqlite:PATH, a file's path"},
		"worker: {trace: maybe}\n":                          {"neither true nor false"},
		"worker: {kill_grace: soon}\n":                      {"not a duration"},
		"worker: {max_output_bytes: 3}\n":                   {"out of bounds"},
		"worker: {path: bin}\n":                             {"absolute"},
		"worker: 3\n":                                       {"section worker must hold keys"},
		"[1, 2]\n":                                          {"the file must hold keys"},
		"worker: {name: a, name: b}\n":                      {"stands here twice"},
		"worker: {name: a\n":                                {"not YAML"},
		"log: {level: info}\n---\nlog: {level: warn}\n":     {"more than one document"},
		"log: {level: loud}\n":                              {"debug, info, warn, error"},
		"artifacts: {store: \"s3://b/c\"}\n":                {"artifacts.store", "name of a bucket"},
		"artifacts: {store: \"s3://u:hunter2@bucket\"}\n":   {"must not hold who asks"},
		"artifacts: {store: /srv}\n":                        {"neither s3:// nor file://"},
		"artifacts: {store: \"file:///srv\"}\n":             {"artifacts.store has no effect with SQLite"},
	} {
		_, err := load(t, file)
		if attune.ErrorCode(err) != attune.CodeInvalid {
			t.Errorf("%q: got %v", file, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %q lacks %q", file, err, part)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the password is in %q", file, err)
		}
	}
}

func TestAliasesStandForWhatTheyName(t *testing.T) {
	t.Parallel()
	c, err := load(t, "worker: {name: &n here, host: *n, labels: &l {zone: *n}}\nlog: {level: debug}\n")
	if err != nil || c.Worker.Host != "here" || c.Worker.Labels["zone"] != "here" {
		t.Errorf("%+v %v", c.Worker, err)
	}
}

func TestEnvironmentFaultsNameTheVariable(t *testing.T) {
	t.Parallel()
	_, err := load(t, "", "ATTUNE__WORKER__TRACE=perhaps", "ATTUNE__WORKER__NAMES=x", "ATTUNE__NONSENSE=1")
	for _, part := range []string{"ATTUNE__WORKER__TRACE: ", "did you mean worker.name?", "ATTUNE__NONSENSE: "} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
}

func TestWhatIsShownLoadsAgain(t *testing.T) {
	t.Parallel()
	first, err := load(t, "worker: {labels: {zone: eu, n: \"1\"}, max_output_bytes: 64KiB, trace: true}\n")
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	if err := first.Write(&shown); err != nil {
		t.Fatal(err)
	}
	second, err := load(t, shown.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, &shown)
	}
	for i, s := range first.Settings() {
		if got := second.Settings()[i]; !equal(got.Value, s.Value) {
			t.Errorf("%s: %v came back as %v", s.Key, s.Value, got.Value)
		}
	}
}
