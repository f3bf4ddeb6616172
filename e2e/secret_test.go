package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// tap hears all that processes and a server say to each other.
type tap struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// on returns a URL of the server that leads through the tap.
func (p *tap) on(t *testing.T, server string) string {
	t.Helper()
	w := newWire(t, parseURL(t, server).Host, func(c *call) {
		var both sync.WaitGroup
		for _, way := range [][2]io.ReadWriter{{c.server, c.client}, {c.client, c.server}} {
			both.Go(func() {
				_, _ = io.Copy(io.MultiWriter(way[0], p), way[1]) // however it ends, the call is over
				c.end()
			})
		}
		both.Wait()
	})
	return w.through(t, server).String()
}

func (p *tap) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(text)
}

func (p *tap) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// leakyPack has an action that writes what it was given wherever it can, and then waits.
var leakyPack = map[string]string{
	"pack.yaml": "ref: leaky\nversion: 1.0.0\n",
	"actions/leak.yaml": `
ref: leaky.leak
runner_type: python
entry_point: leak.py
secrets: [api_key]
parameters:
  password: {type: string, required: true, secret: true}
  hold: {type: string, required: true}
retry: {max_attempts: 2, delay: 0.1}
`,
	"actions/leak.py": `
import base64, json, os, sys, time, urllib.parse

def forms(value):
    raw = value.encode()
    yield value
    yield json.dumps({"value": value})
    yield urllib.parse.quote(value, safe="")
    yield raw.hex()
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + raw + b"yz").decode()

def run(password, hold):
    key = os.environ["SECRET_API_KEY"]
    with open(os.environ["ATTUNE_SECRETS_DIR"] + "/api_key") as f:
        assert f.read() == key
    with open(os.environ["ATTUNE_ARTIFACTS_DIR"] + "/" + urllib.parse.quote(key, safe="") + ".txt", "w") as f:
        for value in (key, password):
            for form in forms(value):
                print(form, flush=True)
                print("half of a line", form, "and more", file=sys.stderr, flush=True)
                f.write(form + "\n")
    if os.environ["ATTUNE_ATTEMPT"] == "1":
        raise ValueError("not with " + password)
    while not os.path.exists(hold):
        time.sleep(0.02)
    return {"key": key, password: [key, base64.b64encode(key.encode()).decode()]}
`,
}

// writePack writes a pack's files into a new directory.
func writePack(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// formsOf are ways in which a secret might be found.
func formsOf(secret string) []string {
	found := []string{secret, hex.EncodeToString([]byte(secret)), url.QueryEscape(secret)}
	for shift := range 3 { // what is the same whatever stands before and after
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret + "yz"))
		found = append(found, text[4:len(secret)])
	}
	return found
}

// TestSecretsAreNowhere looks for a key and a secret parameter wherever the system puts anything, while an action runs that
// writes them everywhere, and after it.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		const password = "pass word &\"wörd\" 7"
		// The other shape's must not be found here: both look at the memory of the whole host.
		key := map[shape]string{embedded: "key/of+the<house>=42", production: "key/of+the<house>=43"}[as]
		h, messages := newHost(t, as), &tap{}
		if as == production {
			file := filepath.Join(h.root, "master.keys")
			h.attune(0, "key", "generate", file)
			h.env = append(h.env, "ATTUNE__SECURITY__ENCRYPTION_KEY_FILE="+file,
				"ATTUNE__MESSAGE_QUEUE__URL="+messages.on(t, h.messages.URL))
		}
		s := h.up()
		if _, err := s.SetKey(t.Context(), attune.KeyID{Owner: attune.OwnerSystem, Name: "api_key"}, []byte(key), false); err != nil {
			t.Fatal(err)
		}
		h.attune(0, "pack", "install", writePack(t, leakyPack))
		parameters, err := json.Marshal(map[string]string{"password": password, "hold": h.hold})
		if err != nil {
			t.Fatal(err)
		}
		id := h.submit(s.Client, client.Submission{Action: "leaky.leak", Parameters: parameters, Trace: true})
		search := secretSearch{h: h, secrets: append(formsOf(key), formsOf(password)...)}
		h.eventually("the second attempt has written all", func() bool {
			e, err := s.Execution(t.Context(), id)
			return err == nil && e.Attempt == 2 && e.Status == attune.StatusRunning &&
				strings.Count(h.output(s.Client, id), "********") >= 14
		})
		search.everywhere(s, messages)
		if err := os.WriteFile(h.hold, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		h.becomes(s.Client, id, attune.StatusCompleted)
		search.everywhere(s, messages)
		e, err := s.Execution(t.Context(), id)
		if want := `{"********":["********","********="],"key":"********"}`; err != nil || string(e.Result) != want {
			t.Errorf("result %s, %v", e.Result, err)
		}
		if as == production && !strings.Contains(messages.text(), "ExecutionScheduled") {
			t.Error("no message was heard")
		}
		if got, err := s.RevealParameters(t.Context(), id); err != nil || !strings.Contains(string(got), "wörd") {
			t.Errorf("revealed %s, %v", got, err)
		}
		if left, _ := filepath.Glob("/dev/shm/attune-*/*-*/api_key"); holdsAny(left, []string{key}) {
			t.Errorf("left in memory: %q", left)
		}
	})
}

func holdsAny(files, secrets []string) bool {
	for _, file := range files {
		text, _ := os.ReadFile(file) // of another test, and gone by now
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				return true
			}
		}
	}
	return false
}

// secretSearch looks for secrets.
type secretSearch struct {
	h       *host
	secrets []string
}

func (s secretSearch) everywhere(sys *system, messages *tap) {
	s.h.t.Helper()
	s.directory(s.h.root)
	s.in("RabbitMQ's messages", messages.text())
	s.in("the server's log", sys.server.log.String())
	s.in("the worker's log", sys.worker.log.String())
	for _, path := range []string{
		"executions", "executions/1", "executions/1/logs/stdout", "executions/1/logs/stderr", "executions/1/artifacts", "keys", "keys/api_key",
		"actions/leaky.leak", "workers",
	} {
		s.in("the API's answer to "+path, s.answer(sys, path))
	}
	if s.h.as == production {
		s.in("PostgreSQL", s.rows())
	}
	s.commandLines()
}

func (s secretSearch) in(where, text string) {
	s.h.t.Helper()
	for _, secret := range s.secrets {
		if at := strings.Index(text, secret); at >= 0 {
			s.h.t.Errorf("%s holds %q: …%s…", where, secret, text[max(0, at-80):min(len(text), at+80)])
		}
	}
}

// directory reads all files, those that go away meanwhile excepted.
func (s secretSearch) directory(root string) {
	s.h.t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.Name() == "tasks" {
			return fs.SkipDir // private to the action that writes it there
		}
		s.in("the name "+path, entry.Name())
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		files++
		s.in(path, string(text))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil || files < 5 {
		s.h.t.Errorf("%d files were read: %v", files, err)
	}
}

func (s secretSearch) answer(sys *system, path string) string {
	s.h.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.h.dir, "token"))
	if err != nil {
		s.h.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(s.h.t.Context(), http.MethodGet, sys.url+"/api/v1/"+path, nil)
	if err != nil {
		s.h.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.h.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
		s.h.t.Errorf("%s: %d %s %v", path, answer.StatusCode, text, err)
	}
	return string(text)
}

// rows is everything that is in the database, as text.
func (s secretSearch) rows() string {
	s.h.t.Helper()
	raw := s.h.database.Raw(s.h.t)
	raw.SetMaxOpenConns(1) // one session, for its setting
	text := func(query string) (answer string) {
		if err := raw.QueryRowContext(context.Background(), query).Scan(&answer); err != nil {
			s.h.t.Fatal(err)
		}
		return answer
	}
	// The format leaves ASCII readable in bytea.
	if text(`SELECT set_config('bytea_output', 'escape', false)`) != "escape" {
		s.h.t.Fatal("bytea would be shown in hexadecimal")
	}
	tables := strings.Fields(text(`SELECT string_agg(quote_ident(tablename), ' ') FROM pg_tables WHERE schemaname = current_schema()`))
	if len(tables) < 8 {
		s.h.t.Fatalf("tables: %q", tables)
	}
	var all strings.Builder
	for _, table := range tables {
		all.WriteString(text(`SELECT coalesce(string_agg(t::text, E'\n'), '') FROM (SELECT * FROM ` + table + `) t`))
	}
	if !strings.Contains(all.String(), "actions/leak.py") {
		s.h.t.Error("what is in the database is not seen")
	}
	return all.String()
}

// commandLines reads those of all processes on this host.
func (s secretSearch) commandLines() {
	s.h.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		s.h.t.Fatalf("%d processes: %v", len(files), err)
	}
	for _, file := range files {
		line, _ := os.ReadFile(file) // it may have ended
		s.in(file, string(line))
	}
}

// keyPack has an action that checks its key, and one that tells where its keys are and waits.
var keyPack = map[string]string{
	"pack.yaml":          "ref: keyed\nversion: 1.0.0\n",
	"actions/check.yaml": "ref: keyed.check\nrunner_type: shell\nentry_point: check.sh\nsecrets: [api_key]\n" + secretParameter,
	"actions/check.sh":   `[ "$SECRET_API_KEY" = "$(printf %s%s the-key -of-all)" ] && [ "$PARAM_PASSWORD" = "$(printf %s%s the-pass word)" ]`,
	"actions/wait.yaml":  "ref: keyed.wait\nrunner_type: shell\nentry_point: wait.sh\nsecrets: [api_key]\n" + secretParameter,
	"actions/wait.sh": `echo "$SECRET_API_KEY" > "$ATTUNE_ARTIFACTS_DIR/note"; echo "$PARAM_PASSWORD" > "$HOME/note"
echo "$ATTUNE_SECRETS_DIR"; sleep 600`,
}

const secretParameter = "parameters:\n  password: {type: string, secret: true}\n"

func keyed(action attune.Ref) client.Submission {
	return client.Submission{Action: action, Parameters: json.RawMessage(`{"password":"the-password"}`)}
}

// keyedSystem starts a system that has the pack and its key, and returns the key file of the production shape.
func (h *host) keyedSystem() (s *system, file string) {
	h.t.Helper()
	if h.as == production {
		file = filepath.Join(h.root, "master.keys")
		h.attune(0, "key", "generate", file)
		h.env = append(h.env, "ATTUNE__SECURITY__ENCRYPTION_KEY_FILE="+file)
	}
	s = h.up()
	if _, err := s.SetKey(h.t.Context(), attune.KeyID{Owner: attune.OwnerPack, Of: "keyed", Name: "api_key"}, []byte("the-key-of-all"), false); err != nil {
		h.t.Fatal(err)
	}
	h.attune(0, "pack", "install", writePack(h.t, keyPack))
	return s, file
}

// TestKeysAreRotatedWhileActionsRun has executions submitted under one master key and begun under another.
func TestKeysAreRotatedWhileActionsRun(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		s, file := h.keyedSystem()
		masters := map[string]bool{}
		var ids []int64
		for range 5 {
			for range 8 {
				ids = append(ids, h.submit(s.Client, keyed("keyed.check")))
			}
			if as == production { // as the operator does it
				old, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file+".new", append([]byte(h.attune(0, "key", "generate")), old...), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			}
			r, err := s.RotateKeys(t.Context())
			if err != nil || len(r.Failed) > 0 || r.Rewrapped == 0 {
				t.Fatalf("%+v %v", r, err)
			}
			masters[r.MasterKey] = true
		}
		for _, id := range ids {
			h.becomes(s.Client, id, attune.StatusCompleted)
		}
		if len(masters) != 5 {
			t.Errorf("%d rotations had %d master keys", 5, len(masters))
		}
	})
}

// TestSecretsOfAKilledWorkerAreGone kills a worker whose action holds secrets, and starts it again.
func TestSecretsOfAKilledWorkerAreGone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, as shape) {
		h := newHost(t, as)
		s, _ := h.keyedSystem()
		id := h.submit(s.Client, keyed("keyed.wait"))
		var dir string
		h.eventually("the action has its keys", func() (whole bool) {
			e, err := s.Execution(t.Context(), id)
			if err == nil && e.Status == attune.StatusRunning {
				dir, whole = strings.CutSuffix(h.output(s.Client, id), "\n")
			}
			return whole
		})
		if text, err := os.ReadFile(filepath.Join(dir, "api_key")); err != nil || string(text) != "the-key-of-all" {
			t.Errorf("%s: %q %v", dir, text, err)
		}
		s.kill()
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the fault would prove nothing: %v", err)
		}
		s = h.up()
		h.becomes(s.Client, id, attune.StatusAbandoned)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the keys of the killed worker are left in %s: %v", dir, err)
		}
		search := secretSearch{h: h, secrets: []string{"the-key-of-all", "the-password"}}
		search.directory(h.root)
		if left, _ := os.ReadDir(filepath.Join(h.workerDir("w"), "workers", "w", "tasks")); len(left) > 0 {
			t.Errorf("private directories are left: %v", left)
		}
	})
}
