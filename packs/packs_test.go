package packs_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-automation/attune/packs"
)

// unpacked returns the core pack in a directory.
func unpacked(t *testing.T) string {
	t.Helper()
	core, err := packs.Core()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, core); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shell runs a script of the core pack as the shell runtime does: bash -e, parameters in the environment alone.
func shell(t *testing.T, name, stdin string, env ...string) (stdout string, exitCode int) {
	t.Helper()
	dir := unpacked(t)
	command := exec.CommandContext(t.Context(), "bash", "-e", filepath.Join(dir, "actions", name))
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "ATTUNE_PACK_DIR=" + dir}, env...)
	command.Stdin = strings.NewReader(stdin)
	out, err := command.Output()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

const odd = "a\x01 'b' \"c\" $(d) `e` \\n \\x41 %s -n\n\té 🎉 "

func TestEcho(t *testing.T) {
	t.Parallel()
	if out, code := shell(t, "echo.sh", "", "PARAM_MESSAGE="+odd); out != odd+"\n" || code != 0 {
		t.Errorf("got %q, %d", out, code)
	}
	long := strings.Repeat(odd+`\\"\"`, 20_000)
	if out, code := shell(t, "echo.sh", document(t, "message", long)); out != long+"\n" || code != 0 {
		t.Errorf("%d bytes on standard input: got %d bytes, %d", len(long), len(out), code)
	}
}

// document returns the parameters as they come on standard input or in the file.
func document(t *testing.T, name, value string) string {
	t.Helper()
	encoded, err := json.Marshal(map[string]string{name: value})
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestNoopAndSleep(t *testing.T) {
	t.Parallel()
	for _, want := range []int{0, 3, 255} {
		if _, code := shell(t, "noop.sh", "", "PARAM_EXIT_CODE="+strconv.Itoa(want)); code != want {
			t.Errorf("noop: got exit code %d, want %d", code, want)
		}
	}
	for _, seconds := range []string{"0", "0.01", "1e-3"} {
		if _, code := shell(t, "sleep.sh", "", "PARAM_SECONDS="+seconds); code != 0 {
			t.Errorf("sleep %s: exit code %d", seconds, code)
		}
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cmd, out string
		code     int
	}{
		{"echo $((1+1)); printf '%s' \"$(echo \\'é)\"", "2\n'é", 0},
		{"echo a; exit 7; echo b", "a\n", 7},
		{"echo a; false; echo b", "a\n", 1},
		{"set +e; false; echo b", "b\n", 0},
		{"cat", "its own input", 0},
		{"bash -c 'echo ${PARAM_CMD-unset}'", "unset\n", 0},
		{"cat <<'E'\na\nb\nE\n", "a\nb\n", 0},
		{"syntax ( error", "", 2},
	} {
		if out, code := shell(t, "shell.sh", "its own input", "PARAM_CMD="+c.cmd); out != c.out || code != c.code {
			t.Errorf("%q: got %q, %d, want %q, %d", c.cmd, out, code, c.out, c.code)
		}
	}
	long := "true " + strings.Repeat("x", 200<<10) + "\necho 'a\\nb' \"$((2+3))\"\n\n"
	file := filepath.Join(t.TempDir(), "parameters")
	if err := os.WriteFile(file, []byte(document(t, "cmd", long)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := shell(t, "shell.sh", "", "ATTUNE_PARAMETER_FILE="+file); out != "a\\nb 5\n" || code != 0 {
		t.Errorf("200 KiB: got %q, %d", out, code)
	}
}

// harness calls run with the parameters on standard input and prints the result, as the Python runtime does.
const harness = `
import json, runpy, sys
result = runpy.run_path(sys.argv[1])["run"](**json.load(sys.stdin))
print("\n" + json.dumps(result, allow_nan=False))`

// python runs a script of the core pack and returns its result, or what it wrote to stderr.
func python(t *testing.T, name string, parameters map[string]any) (result map[string]any, stderr string) {
	t.Helper()
	given, err := json.Marshal(parameters)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(unpacked(t), "actions", name)
	command := exec.CommandContext(t.Context(), "python3", "-c", harness, script)
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	command.Stdin = bytes.NewReader(given)
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		return nil, failure.String()
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil {
		result = map[string]any{"": lines[len(lines)-1]}
	}
	return result, failure.String()
}

func TestPython(t *testing.T) {
	t.Parallel()
	got, failure := python(t, "python.py", map[string]any{"code": "import math\ndef f(): return math.pi\n" +
		"if __name__ == '__main__': result = {'pi': f() > 3}\n"})
	if got["pi"] != true {
		t.Errorf("got %v, %s", got, failure)
	}
	if got, _ := python(t, "python.py", map[string]any{"code": "print('x')"}); got[""] != "null" && got != nil {
		t.Errorf("no result: got %v", got)
	}
	_, failure = python(t, "python.py", map[string]any{"code": "x = 1\nx.missing\n"})
	if !strings.Contains(failure, "line 2") || !strings.Contains(failure, "x.missing") {
		t.Errorf("the traceback doesn't quote the line: %s", failure)
	}
}

// echoServer answers with what it was sent.
func echoServer(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("X-Twice", "a")
		w.Header().Add("X-Twice", "b")
		if err := json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "query": r.URL.RawQuery, "body": string(body), "headers": r.Header,
		}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(code)
	})
	mux.HandleFunc("/nan", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json; charset=latin-1")
		if _, err := w.Write([]byte("NaN \xe9")); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestHTTPRequestSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	server := echoServer(t)
	for _, c := range []struct {
		parameters map[string]any
		want       map[string]any // of what the server got
	}{
		{map[string]any{}, map[string]any{"method": "GET", "query": "", "body": ""}},
		{map[string]any{"method": "POST", "json": map[string]any{"a": 1}},
			map[string]any{"method": "POST", "body": `{"a": 1}`, "Content-Type": "application/json"}},
		{map[string]any{"method": "PUT", "body": "é"}, map[string]any{"body": "é", "Content-Type": "text/plain; charset=utf-8"}},
		{map[string]any{"body": "x", "headers": map[string]any{"content-type": "x/y", "X-Mine": "1"}},
			map[string]any{"Content-Type": "x/y", "X-Mine": "1"}},
		{map[string]any{"query": map[string]any{"a": "b c", "l": []any{1, true}}}, map[string]any{"query": "a=b+c&l=1&l=true"}},
		{map[string]any{"username": "me", "password": "pw"}, map[string]any{"Authorization": "Basic bWU6cHc="}},
		{map[string]any{"token": "t0k"}, map[string]any{"Authorization": "Bearer t0k"}},
		{map[string]any{"method": "DELETE", "json": nil}, map[string]any{"method": "DELETE", "body": "null"}},
	} {
		c.parameters["url"] = server.URL + "/echo"
		got, failure := python(t, "http_request.py", c.parameters)
		if got == nil {
			t.Errorf("%v: %s", c.parameters, failure)
			continue
		}
		compare(t, c.parameters, got["json"].(map[string]any), c.want)
		headers := got["headers"].(map[string]any)
		if got["status_code"] != 200.0 || headers["x-twice"] != "a, b" || got["elapsed_ms"] == nil {
			t.Errorf("%v: got %v", c.parameters, got)
		}
	}
}

func compare(t *testing.T, parameters, got, want map[string]any) {
	t.Helper()
	headers, _ := got["headers"].(map[string]any)
	for name, value := range want {
		have := got[name]
		if list, ok := headers[name].([]any); ok {
			have = list[0]
		}
		if have != value {
			t.Errorf("%v: %s: got %v, want %v", parameters, name, have, value)
		}
	}
}

func TestHTTPRequestGivesEveryStatusAsAResult(t *testing.T) {
	t.Parallel()
	server := echoServer(t)
	got, failure := python(t, "http_request.py", map[string]any{"url": server.URL + "/status/503"})
	if got["status_code"] != 503.0 || got["json"] != nil {
		t.Errorf("got %v, %s", got, failure)
	}
	got, failure = python(t, "http_request.py", map[string]any{"url": server.URL + "/status/404", "fail_on_status": true})
	if got != nil || !strings.Contains(failure, "404 Not Found") {
		t.Errorf("fail_on_status: got %v, %s", got, failure)
	}
	got, failure = python(t, "http_request.py", map[string]any{"url": server.URL + "/nan"})
	if got["json"] != nil || got["body"] != "NaN é" {
		t.Errorf("NaN in Latin-1: got %v, %s", got, failure)
	}
}

func TestHTTPRequestFollowsRedirects(t *testing.T) {
	t.Parallel()
	server, other := echoServer(t), echoServer(t)
	send := func(code int, to string, more map[string]any) (map[string]any, string) {
		parameters := map[string]any{
			"url": server.URL + "/status/" + strconv.Itoa(code), "query": map[string]any{"to": to},
			"method": "POST", "body": "x", "token": "t0k",
		}
		for name, value := range more {
			parameters[name] = value
		}
		return python(t, "http_request.py", parameters)
	}
	for code, method := range map[int]string{301: "GET", 302: "GET", 303: "GET", 307: "POST", 308: "POST"} {
		got, failure := send(code, server.URL+"/echo", nil)
		if got == nil {
			t.Errorf("%d: %s", code, failure)
			continue
		}
		compare(t, nil, got["json"].(map[string]any), map[string]any{"method": method, "Authorization": "Bearer t0k"})
	}
	got, failure := send(307, other.URL+"/echo", nil)
	if got == nil || got["json"].(map[string]any)["headers"].(map[string]any)["Authorization"] != nil {
		t.Errorf("another host: got %v, %s", got, failure)
	}
	if got, failure := send(302, server.URL+"/echo", map[string]any{"follow_redirects": false}); got["status_code"] != 302.0 {
		t.Errorf("not followed: got %v, %s", got, failure)
	}
	for _, to := range []string{"file:///etc/passwd", server.URL + "/status/302?to=/status/302"} {
		if got, failure := send(302, to, nil); got != nil && got["status_code"] != 302.0 || strings.Contains(failure, "Traceback") {
			t.Errorf("to %s: got %v, %s", to, got, failure)
		}
	}
}

func TestHTTPRequestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct {
		parameters map[string]any
		says       string
	}{
		{map[string]any{"url": closed.URL + "/?key=pw@", "query": map[string]any{"k": "pw@"}}, "refused"},
		{map[string]any{"url": secure.URL}, "CERTIFICATE_VERIFY_FAILED"},
		{map[string]any{"url": "http://me:pw@localhost/"}, "username and password"},
		{map[string]any{"url": secure.URL, "body": "x", "json": 1}, "not both"},
		{map[string]any{"url": secure.URL, "token": "x", "username": "y"}, "not both"},
		{map[string]any{"url": closed.URL, "headers": map[string]any{"X": "a\nb"}}, "Invalid header"},
	} {
		_, failure := python(t, "http_request.py", c.parameters)
		if !strings.Contains(failure, c.says) || strings.Contains(failure, "Traceback") || strings.Contains(failure, "pw@") {
			t.Errorf("%v: got %s, want …%s…", c.parameters, failure, c.says)
		}
	}
	got, failure := python(t, "http_request.py", map[string]any{"url": secure.URL, "verify_tls": false})
	if got["status_code"] != 404.0 {
		t.Errorf("without verification: got %v, %s", got, failure)
	}
}

func TestCoreHoldsNoLeftovers(t *testing.T) {
	t.Parallel()
	core, err := packs.Core()
	if err != nil {
		t.Fatal(err)
	}
	if found, err := fs.Glob(core, "*/__pycache__"); err != nil || found != nil {
		t.Errorf("got %v, %v", found, err)
	}
}
