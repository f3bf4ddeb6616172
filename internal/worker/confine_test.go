package worker_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/process"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

// isolated returns a worker of this level; users of its own need root.
func isolated(t *testing.T, level attune.Isolation, withUsers bool) *host {
	t.Helper()
	h := newHost(t, nil)
	if withUsers {
		for id := range uint32(h.cfg.Slots) {
			h.cfg.Isolation.Users = append(h.cfg.Isolation.Users, runtime.User{UID: 61000 + id, GID: 61000 + id})
		}
		for dir := h.dir; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) { // a test's are 0700
			if err := os.Chmod(dir, 0o711); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.cfg.Isolation.Level = level
	h.cfg.Isolation.Hidden = []string{h.dir}
	return h
}

// levels calls a test for each level that keeps executions apart and that this host has.
func levels(t *testing.T, test func(t *testing.T, h *host)) {
	t.Helper()
	for _, level := range []attune.Isolation{attune.IsolationUser, attune.IsolationSandbox} {
		for _, users := range []bool{true, false} {
			if users && os.Geteuid() != 0 || !users && level == attune.IsolationUser {
				continue
			}
			t.Run(fmt.Sprintf("%s, users %v", level, users), func(t *testing.T) {
				t.Parallel()
				test(t, isolated(t, level, users))
			})
		}
	}
}

func TestExecutionsCannotReadEachOther(t *testing.T) {
	t.Parallel()
	levels(t, func(t *testing.T, h *host) {
		h.start()
		m := fmt.Sprintf("%d.%s", 8_000_000+os.Getpid(), filepath.Base(h.dir))
		victim := h.submit("v.sh", `echo hush > "$HOME/secret"; echo hush > "$ATTUNE_ARTIFACTS_DIR/secret"; export MINE=hush`+m+`
echo "$HOME" "$ATTUNE_ARTIFACTS_DIR" "$ATTUNE_CONTEXT_FILE"; exec -a `+m+` sleep 60`, `{}`, nil)
		h.place()
		var found []string
		storetest.Eventually(t, func() bool { found = commandsWith(t, m+"\x0060"); return len(found) > 0 })
		pid := strings.Split(found[0], "/")[2]
		var paths []string
		storetest.Eventually(t, func() bool {
			paths = strings.Fields(h.tryRead(fmt.Sprintf("execution_%d/stdout.log", victim)))
			return len(paths) == 3
		})
		row := h.run("spy.sh", `set +e
for file in `+paths[0]+`/secret `+paths[1]+`/secret `+paths[2]+` /proc/`+pid+`/environ /proc/`+pid+`/mem /proc/[0-9]*/environ; do
	case $file in /proc/$$/*|/proc/self/*) continue;; esac
	if (exec 3<"$file") 2>/dev/null; then tr '\0' '\n' <"$file" 2>/dev/null | grep hush`+m+` && echo "read $file"; fi
done
ls `+paths[0]+` `+paths[1]+` 2>/dev/null && echo listed
echo x > `+paths[0]+`/x; echo x > `+paths[1]+`/x; kill -9 `+pid+` 2>/dev/null
cat `+paths[0]+`/secret `+paths[1]+`/secret 2>/dev/null
touch "$ATTUNE_PACK_DIR/x" 2>/dev/null && echo "writes to the pack"
cat "$ATTUNE_CONTEXT_FILE"; echo mine > "$HOME/mine" && cat "$HOME/mine"; echo kept > "$ATTUNE_ARTIFACTS_DIR/kept"`, `{}`)
		if out := h.read(fmt.Sprintf("execution_%d/stdout.log", row.ID)); row.Status != attune.StatusCompleted || out != "{}mine\n" {
			t.Errorf("%s %+v: %s%s", row.Status, row.Error, out, h.read(fmt.Sprintf("execution_%d/stderr.log", row.ID)))
		}
		if h.read(fmt.Sprintf("execution_%d/files/kept", row.ID)) != "kept\n" {
			t.Error("the artifact is not kept")
		}
		if len(commandsWith(t, m+"\x0060")) == 0 {
			t.Error("the other one was killed")
		}
		later := h.run("later.sh", `cat `+filepath.Join(h.dir, "artifacts/w", fmt.Sprintf("execution_%d/files/kept", row.ID))+` || echo no`, `{}`)
		if out := h.read(fmt.Sprintf("execution_%d/stdout.log", later.ID)); out != "no\n" {
			t.Errorf("what an earlier one has left can be read: %q", out)
		}
		if _, err := h.Cancel(t.Context(), victim, "ada"); err != nil {
			t.Fatal(err)
		}
		h.until(victim, attune.Status.Final)
		if err := h.end(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(filepath.Join(h.dir, "workers", "w", "tasks")); len(left) > 0 {
			t.Errorf("private directories left: %v", left)
		}
	})
}

func TestActionsRunTheSameAtEveryLevel(t *testing.T) {
	t.Parallel()
	levels(t, func(t *testing.T, h *host) {
		h.start()
		for _, delivery := range []attune.Delivery{attune.DeliverStdin, attune.DeliverFile, attune.DeliverEnv} {
			id := h.submit("a.py", "def run(n):\n    import subprocess\n    return {'twice': 2 * n, 'umask': subprocess.check_output('umask', shell=True, text=True).strip()}\n",
				`{"n": 21}`, func(a *attune.Action) { a.Delivery = delivery; a.Limits = attune.Limits{OpenFiles: 100, PIDs: 50} })
			h.place()
			if row := h.until(id, attune.Status.Final); row.Status != attune.StatusCompleted || string(row.Result) != `{"twice":42,"umask":"0077"}` {
				t.Errorf("%s: %s %+v %s", delivery, row.Status, row.Error, row.Result)
			}
		}
		row := h.run("b.sh", `cat; echo '{"from": "file"}' > "$ATTUNE_RESULT_FILE"; exit 3`, `{"text": "x"}`)
		if row.Error == nil || row.Error.Kind != attune.FailureExit || *row.ExitCode != 3 || string(row.Result) != `{"from":"file"}` {
			t.Errorf("%+v %+v", row.Execution, row.Error)
		}
	})
}

func TestActionMayAskForMoreIsolation(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	for level, want := range map[attune.Isolation]string{
		attune.IsolationProcess: "", attune.IsolationSandbox: "", attune.IsolationUser: "worker.run_as names no users",
	} {
		id := h.submit("a.sh", `touch /etc/attune-test-$$ 2>/dev/null && { rm /etc/attune-test-$$; echo writes; } || echo reads`, `{}`,
			func(a *attune.Action) { a.Isolation = level })
		h.place()
		row := h.until(id, attune.Status.Final)
		if want != "" {
			if row.Error == nil || row.Error.Kind != attune.FailureSetup || !strings.Contains(row.Error.Message, want) {
				t.Errorf("%s: %s %+v", level, row.Status, row.Error)
			}
			continue
		}
		writes := level == attune.IsolationProcess && os.Geteuid() == 0
		if out := h.read(fmt.Sprintf("execution_%d/stdout.log", id)); (out == "writes\n") != writes {
			t.Errorf("%s: %q %+v", level, out, row.Error)
		}
	}
}

func TestWhatActionsCanReadIsSaid(t *testing.T) {
	t.Parallel()
	for _, level := range []attune.Isolation{attune.IsolationProcess, attune.IsolationSandbox} {
		h := isolated(t, level, false)
		secret := filepath.Join(h.dir, "secret")
		if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.cfg.Isolation.Secrets = []string{secret}
		h.cfg.Isolation.Hidden = append(h.cfg.Isolation.Hidden, secret)
		var log bytes.Buffer
		h.log = slog.New(slog.NewTextHandler(&log, nil))
		h.start()
		if err := h.end(); err != nil {
			t.Error(err)
		}
		// /dev/null in its place can be opened, and says nothing: it is not in the list because it is not that file.
		if said := strings.Contains(log.String(), secret); said != (level == attune.IsolationProcess) {
			t.Errorf("%s: %s", level, log.String())
		}
	}
}

func TestImpossibleIsolationIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	processes, err := process.New(process.Config{RecordsDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c := worker.NewConfiner(worker.Isolation{}, processes)
	if err := c.Possible(attune.IsolationUser); err == nil || !strings.Contains(err.Error(), "worker.run_as") {
		t.Errorf("%v", err)
	}
	h := newHost(t, func(c *worker.Config) { c.Isolation.Level = attune.IsolationUser })
	h.begin()
	if err := h.wait(); attune.ErrorCode(err) != attune.CodeInvalid || !strings.Contains(err.Error(), "worker.isolation user is not possible here") {
		t.Errorf("%v", err)
	}
}
