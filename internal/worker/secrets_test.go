package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

const hunter = "hunter2-hunter2"

// set stores a key for the actions of a pack, "" for all.
func (h *host) set(ofPack, name, value string) {
	h.t.Helper()
	k := store.KeyRow{Key: attune.Key{KeyID: attune.KeyID{Owner: attune.OwnerSystem, Name: name}, Bytes: len(value)}}
	if ofPack != "" {
		k.Owner, k.Of = attune.OwnerPack, ofPack
	}
	var err error
	if k.Sealed, err = h.keys.Seal(secret.OfKey(k.KeyID), []byte(value)); err != nil {
		h.t.Fatal(err)
	}
	storetest.Write(h.t, h.store, func(ctx context.Context, q *store.Queries) error { return q.PutKey(ctx, k) })
}

// with runs a script that is given keys, to its end.
func (h *host) with(keys []string, name, script string) store.ExecutionRow {
	h.t.Helper()
	id := h.submit(name, script, `{}`, func(a *attune.Action) { a.Secrets = keys })
	h.place()
	return h.until(id, attune.Status.Final)
}

// vaults are the directories of secrets that are there.
func (h *host) vaults() []string {
	h.t.Helper()
	found, err := filepath.Glob(filepath.Join(worker.VaultOf(h.cfg.Home), "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// nowhere asserts that no file of the data directory holds a text, or has it in its name.
func (h *host) nowhere(text string) {
	h.t.Helper()
	err := filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.Contains(entry.Name(), text) {
			h.t.Errorf("%s names it", path)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			h.t.Errorf("%s holds it", path)
		}
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
}

// TestSecretsAreGivenAndKeptSecret has an action write its keys wherever it can.
func TestSecretsAreGivenAndKeptSecret(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	h.set("", "token", hunter)
	h.set("", "pin", "12345")
	h.set("adhoc", "both", "hunter3 of its pack")
	h.set("", "both", "hunter4 of everybody")
	h.set("", "other", "hunter5 of nobody")
	row := h.with([]string{"token", "pin", "both"}, "a.sh", `
[ "$SECRET_TOKEN" = hun""ter2-hun""ter2 ] && [ "$(cat "$ATTUNE_SECRETS_DIR/token")" = "$SECRET_TOKEN" ]
[ "$SECRET_BOTH" = "hun""ter3 of its pack" ]
[ -z "$SECRET_OTHER" ] && [ "$(ls "$ATTUNE_SECRETS_DIR" | tr '\n' ' ')" = "both pin token " ]
[ "$(stat -c %a "$ATTUNE_SECRETS_DIR" "$ATTUNE_SECRETS_DIR"/*)" = "$(printf '%s\n' 700 600 600 600)" ]
[ "$(stat -f -c %T "$ATTUNE_SECRETS_DIR")" = tmpfs ]
printf %s "$SECRET_TOKEN" | head -c 9; sleep 0; printf %s "$SECRET_TOKEN" | tail -c +10; echo
echo "$SECRET_BOTH" >&2
echo "$SECRET_TOKEN" > "$ATTUNE_ARTIFACTS_DIR/$SECRET_TOKEN.txt"
echo '{"'"$SECRET_TOKEN"'": ["'"$SECRET_BOTH"'", 12345]}' > "$ATTUNE_RESULT_FILE"
echo "$SECRET_PIN"`)
	if row.Status != attune.StatusCompleted {
		t.Fatalf("%s %+v %s", row.Status, row.Error, h.read("execution_1/stderr.log"))
	}
	if got := h.read("execution_1/stdout.log"); got != "********\n12345\n" {
		t.Errorf("stdout: %q", got)
	}
	stderr := h.read("execution_1/stderr.log")
	for _, part := range []string{"the key pin is too short to be masked", "********\n", "attune: secrets were masked in 6 places"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("stderr lacks %q: %s", part, stderr)
		}
	}
	if want := `{"********":["********",12345]}`; string(row.Result) != want {
		t.Errorf("result: %s, want %s", row.Result, want)
	}
	if got := h.read("execution_1/files/********.txt"); got != "********\n" {
		t.Errorf("file: %q", got)
	}
	h.nowhere("hunter")
	// Nobody uses the vault now: a worker that is killed, and never comes back, leaves none.
	if _, err := os.Stat(worker.VaultOf(h.cfg.Home)); !os.IsNotExist(err) {
		t.Errorf("the vault is left: %v", err)
	}
}

// TestVaultComesAndGoes has many executions with secrets begin while others end.
func TestVaultComesAndGoes(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	h.set("", "token", hunter)
	var ids []int64
	for range 40 {
		ids = append(ids, h.submit("a.sh", `[ "$(cat "$ATTUNE_SECRETS_DIR/token")" = "$SECRET_TOKEN" ]`, `{}`,
			func(a *attune.Action) { a.Secrets = []string{"token"} }))
	}
	for _, id := range ids {
		storetest.Eventually(t, func() bool {
			h.place()
			row, err := h.store.Read().Execution(context.Background(), id)
			if err == nil && row.Status.Final() && row.Status != attune.StatusCompleted {
				t.Fatalf("%s %+v", row.Status, row.Error)
			}
			return err == nil && row.Status.Final()
		})
	}
	if _, err := os.Stat(worker.VaultOf(h.cfg.Home)); !os.IsNotExist(err) {
		t.Errorf("the vault is left: %v", err)
	}
}

func TestSecretsInFilesAlone(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.SecretsInFiles = true }).start()
	h.set("", "token", hunter)
	row := h.with([]string{"token"}, "a.py", `
import os
def run():
    assert not [name for name in os.environ if name.startswith("SECRET_")]
    with open(os.environ["ATTUNE_SECRETS_DIR"] + "/token") as f:
        return len(f.read())
`)
	if row.Status != attune.StatusCompleted || string(row.Result) != "15" {
		t.Errorf("%s %+v %s", row.Status, row.Error, row.Result)
	}
}

// What was promised and can't be had keeps the action from running at all.
func TestNothingRunsWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	h.set("", "swapped", hunter)
	storetest.Write(t, h.store, func(ctx context.Context, q *store.Queries) error {
		row, err := q.Key(ctx, attune.KeyID{Owner: attune.OwnerSystem, Name: "swapped"})
		if err == nil {
			row.Name = "victim"
			err = q.PutKey(ctx, row)
		}
		return err
	})
	h.set("", "large", strings.Repeat("0123456789abcdef", attune.MaxSecretBytes/16)+"!")
	for key, want := range map[string]string{"large": "more than 262144 bytes", "missing": "attune key set missing", "victim": "the key victim can't be decrypted"} {
		row := h.with([]string{key}, "a.sh", "echo ran")
		if row.Status != attune.StatusFailed || row.Error.Kind != attune.FailureSetup || !strings.Contains(row.Error.Message, want) {
			t.Errorf("%s: %s %+v", key, row.Status, row.Error)
		}
		if got := h.tryRead(fmt.Sprintf("execution_%d/stdout.log", row.ID)); got != "" {
			t.Errorf("%s: it ran: %q", key, got)
		}
	}
}

// A failure's message and a retry's second attempt are no other way out.
func TestSecretParametersAreMaskedInFailures(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	action, archive, err := pack.Script("a.py", []byte("def run(password):\n    return {password: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	action.Parameters = json.RawMessage(`{"type":"object","properties":{"password":{"type":"string","x-secret":true}}}`)
	action.Output = json.RawMessage(`{"type":"object","additionalProperties":false}`)
	action.Retry = attune.Retry{MaxAttempts: 2}
	shown, hidden, err := pack.Hide(action.Parameters, json.RawMessage(`{"password":"`+hunter+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := h.keys.Seal(secret.OfParameters(action.Ref), hidden)
	if err != nil {
		t.Fatal(err)
	}
	row, _, err := h.Submit(context.Background(), execution.Submission{Action: action, Archive: archive, Parameters: shown, Secrets: sealed})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, func() bool {
		h.place()
		row, err = h.store.Read().Execution(context.Background(), row.ID)
		return err == nil && row.Status.Final()
	})
	if row.Status != attune.StatusFailed || row.Attempt != 2 || !strings.Contains(row.Error.Message, attune.Mask) {
		t.Errorf("%s, attempt %d: %+v", row.Status, row.Attempt, row.Error)
	}
	h.nowhere(hunter)
}

// TestSecretsOfAKilledLifeAreRemoved leaves what a worker leaves that was killed.
func TestSecretsOfAKilledLifeAreRemoved(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	dir := filepath.Join(worker.VaultOf(h.cfg.Home), "7-1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(hunter), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	if left := h.vaults(); len(left) > 0 {
		t.Errorf("secrets of an earlier life are left: %q", left)
	}
}

// TestVaultOfSomebodyElseIsNotUsed has a directory there that others may look into.
func TestVaultOfSomebodyElseIsNotUsed(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil).start()
	path := worker.VaultOf(h.cfg.Home)
	if err := os.Symlink(t.TempDir(), path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(path) }()
	h.set("", "token", hunter)
	for _, base := range []string{"/run", "/tmp"} { // no other place, either
		other := filepath.Join(base, filepath.Base(path))
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			continue
		}
		defer func() { _ = os.Remove(other) }()
	}
	row := h.with([]string{"token"}, "a.sh", "echo ran")
	if row.Error == nil || row.Error.Kind != attune.FailureSetup || !strings.Contains(row.Error.Message, "not a directory of this user's") {
		t.Errorf("%s %+v", row.Status, row.Error)
	}
}
