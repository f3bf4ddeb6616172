package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/host/hosttest"
	"github.com/attune-automation/attune/internal/objects/objectstest"
)

// stored is a host whose workers keep their files where no server sees them, and hand them to an artifact store.
func stored(t *testing.T) *host {
	t.Helper()
	h := newHost(t, production, "ATTUNE__ARTIFACTS__STORE="+objectstest.S3(t))
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} {
		h.env = append(h.env, name+"="+os.Getenv(name))
	}
	h.env = append(h.env, "ATTUNE__ARTIFACTS__DIR=artifacts") // in the data directory of each process
	return h
}

// TestArtifactsOfAnotherHostAreRead runs an action on a worker whose directory no server sees: what it has left is read
// through the server, and gone when the execution is deleted.
func TestArtifactsOfAnotherHostAreRead(t *testing.T) {
	t.Parallel()
	h := stored(t)
	s := h.up()
	id := h.submit(s.Client, script(`echo out; printf 'a\0b' > "$ATTUNE_ARTIFACTS_DIR/report"; head -c 20000000 /dev/zero > "$ATTUNE_ARTIFACTS_DIR/large"`, nil))
	h.becomes(s.Client, id, attune.StatusCompleted)
	if entries, err := os.ReadDir(filepath.Join(h.dir, "artifacts")); err == nil {
		t.Fatalf("the server has files of its own: %v", entries)
	}
	number := strconv.FormatInt(id, 10)
	read := func(name string) (string, bool) {
		cmd := h.command("execution", "artifacts", number, name)
		out, err := cmd.Output()
		return string(out), err == nil
	}
	h.eventually("the artifacts are in the store", func() bool { _, ok := read("stdout.log"); return ok })
	for name, want := range map[string]string{"stdout.log": "out\n", "files/report": "a\x00b", "files/large": strings.Repeat("\x00", 20_000_000), "stderr.log": ""} {
		got := ""
		h.eventually(name+" is in the store", func() (ok bool) { got, ok = read(name); return ok })
		if got != want {
			t.Errorf("%s: %d bytes of %d", name, len(got), len(want))
		}
	}
	if text := h.attune(0, "execution", "artifacts", number); !strings.Contains(text, "files/report") {
		t.Errorf("the list: %s", text)
	}
	// The log is read there from any offset on, and no worker is needed for it.
	s.worker.kill()
	for offset, want := range map[int64]string{0: "out\n", 2: "t\n", 4: "", 100: ""} {
		for _, follow := range []bool{false, true} {
			log, err := s.Logs(t.Context(), id, attune.Stdout, client.LogOptions{Offset: offset, Follow: follow})
			if err != nil {
				t.Fatalf("from %d: %v", offset, err)
			}
			text, err := io.ReadAll(log)
			if err := errors.Join(err, log.Close()); err != nil || string(text) != want {
				t.Errorf("from %d: %q %v, want %q", offset, text, err, want)
			}
		}
	}
	h.attune(0, "execution", "delete", number)
	h.attune(3, "execution", "artifacts", number, "stdout.log")
}

// TestKilledWorkerUploadsAtItsNextStart kills a worker whose store is away, and starts it again when the store is there.
func TestKilledWorkerUploadsAtItsNextStart(t *testing.T) {
	t.Parallel()
	h := newHost(t, production)
	dir := filepath.Join(h.root, "mounted")
	h.env = append(h.env, "ATTUNE__ARTIFACTS__STORE=file://"+dir, "ATTUNE__ARTIFACTS__DIR=artifacts")
	s := h.up()
	var ids []int64
	for n := range 5 {
		id := h.submit(s.Client, script(fmt.Sprintf("echo %d", n), nil))
		h.becomes(s.Client, id, attune.StatusCompleted)
		ids = append(ids, id)
	}
	s.worker.kill()
	h.attune(3, "execution", "artifacts", strconv.FormatInt(ids[0], 10), "stdout.log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.spawn("worker", "--data-dir", h.workerDir("w"), "--name", "w")
	for n, id := range ids {
		number := strconv.FormatInt(id, 10)
		h.eventually("it is uploaded", func() bool {
			out, err := h.command("execution", "artifacts", number, "stdout.log").Output()
			return err == nil && string(out) == fmt.Sprintf("%d\n", n)
		})
	}
}

// TestKilledWorkerListsWhatAServerAbandoned kills a worker for longer than its lease: a server abandons what it ran, and
// the worker's next start brings what that has left, into the artifact store, too.
func TestKilledWorkerListsWhatAServerAbandoned(t *testing.T) {
	t.Parallel()
	h := stored(t)
	s := h.up()
	id := h.submit(s.Client, script(`echo out; printf content > "$ATTUNE_ARTIFACTS_DIR/report"; touch "$PARAM_READY"; sleep 600`,
		map[string]string{"ready": h.hold}))
	h.eventually("it has written", func() bool { _, err := os.Stat(h.hold); return err == nil })
	s.worker.kill()
	h.becomes(s.Client, id, attune.StatusAbandoned)
	if left, err := s.Artifacts(t.Context(), id); err != nil || len(left) != 0 {
		t.Fatalf("before anybody has seen it: %+v %v", left, err)
	}
	again := h.spawn("worker", "--data-dir", h.workerDir("w"), "--name", "w")
	number := strconv.FormatInt(id, 10)
	for name, want := range map[string]string{"stdout.log": "out\n", "files/report": "content"} {
		got := ""
		h.eventually(name+" is in the store", func() bool {
			out, err := h.command("execution", "artifacts", number, name).Output()
			got = string(out)
			return err == nil
		})
		if got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	again.kill()
	if got := h.output(s.Client, id); got != "out\n" {
		t.Errorf("the log, without the worker: %q", got)
	}
	if e, err := s.Execution(t.Context(), id); err != nil || e.Stdout.Bytes != 4 {
		t.Errorf("%+v %v", e.Stdout, err)
	}
}

// TestSandboxSeesNothingOfTheStore has an action look into the directory in which everybody's artifacts are.
func TestSandboxSeesNothingOfTheStore(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("bwrap")
	hosttest.Needs(t, err == nil, "bubblewrap is not installed: run `make setup` as root on Debian or Ubuntu")
	h := newHost(t, production, "ATTUNE__WORKER__ISOLATION=sandbox")
	dir := filepath.Join(h.root, "mounted")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "ATTUNE__ARTIFACTS__STORE=file://"+dir, "ATTUNE__ARTIFACTS__DIR=artifacts")
	s := h.up()
	look := func() string {
		id := h.submit(s.Client, script(`ls "$PARAM_DIR" 2>&1; echo looked`, map[string]string{"dir": dir}))
		h.becomes(s.Client, id, attune.StatusCompleted)
		out := ""
		h.eventually("it is uploaded", func() bool {
			text, err := h.command("execution", "artifacts", strconv.FormatInt(id, 10), "stdout.log").Output()
			out = string(text)
			return err == nil
		})
		return out
	}
	look()
	if out := look(); !strings.Contains(out, "looked") || strings.Contains(out, "w\n") {
		t.Errorf("it sees %q", out)
	}
}

// TestDoctorLooksAtTheStore asks for the health of a store that is there, and of one that is not.
func TestDoctorLooksAtTheStore(t *testing.T) {
	t.Parallel()
	h := stored(t)
	healthy := func() bool {
		type finding struct {
			Check string
			OK    bool
		}
		var found struct{ Items []finding }
		if err := json.Unmarshal([]byte(h.attune(0, "doctor", "-o", "json")), &found); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(found.Items, func(f finding) bool { return f.Check == "artifact store" })
		if i < 0 {
			t.Fatalf("%+v", found)
		}
		return found.Items[i].OK
	}
	if !healthy() {
		t.Error("a store that is there")
	}
	h.env = append(h.env, "ATTUNE__ARTIFACTS__STORE="+objectstest.At("no-such-bucket", objectstest.Endpoint(t)))
	if healthy() {
		t.Error("a bucket that is not there")
	}
}
