package worker_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/outage/outagetest"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

const someAPI = "https://attune.example:7080"

func withAPI(c *worker.Config) { c.APIURL = someAPI }

// TestActionsHaveATokenThatIsKeptSecret has an action write its token wherever it can.
func TestActionsHaveATokenThatIsKeptSecret(t *testing.T) {
	t.Parallel()
	h := newHost(t, withAPI).start()
	row := h.with(nil, "a.sh", `
[ "$ATTUNE_API_URL" = https://attune.example:7080 ]
case $ATTUNE_ARTIFACTS_DIR in */execution_1/files) ;; *) exit 3 ;; esac
printf %s "$ATTUNE_API_TOKEN" | sha256sum | cut -d" " -f1 >"$ATTUNE_ARTIFACTS_DIR/hash"
echo "is $ATTUNE_API_TOKEN."
printf %s "$ATTUNE_API_TOKEN" | base64 -w0 >&2
echo '{"token": "'"$ATTUNE_API_TOKEN"'"}' >"$ATTUNE_RESULT_FILE"`)
	if row.Status != attune.StatusCompleted {
		t.Fatalf("%s %+v %s", row.Status, row.Error, h.read("execution_1/stderr.log"))
	}
	if got := h.read("execution_1/stdout.log"); got != "is ********.\n" {
		t.Errorf("stdout: %q", got)
	}
	if want := `{"token":"********"}`; string(row.Result) != want {
		t.Errorf("result: %s, want %s", row.Result, want)
	}
	if got := h.read("execution_1/stderr.log"); !strings.HasPrefix(got, "********") || !strings.Contains(got, "masked in 3 places") {
		t.Errorf("stderr: %q", got)
	}
	token, err := h.keys.TokenOf(row.Fence())
	if err != nil {
		t.Fatal(err)
	}
	h.nowhere(token)
	if got, want := h.read("execution_1/files/hash"), sha256Of(token)+"\n"; got != want {
		t.Errorf("the action had another token: %s, want %s", got, want)
	}
}

// TestATokenLeavesFilesAsTheyAre has a token be the only secret: what has it in a file is worthless when that can be read.
func TestATokenLeavesFilesAsTheyAre(t *testing.T) {
	t.Parallel()
	h := newHost(t, withAPI).start()
	h.with(nil, "a.sh", `echo "$ATTUNE_API_TOKEN" >"$ATTUNE_ARTIFACTS_DIR/f"`)
	if got := h.read("execution_1/files/f"); !strings.HasPrefix(got, "attune_x_1.1.") {
		t.Errorf("%q", got)
	}
}

// TestActionsWithoutAnAPIHaveNoToken looks at what there is then, and how often the log says why.
func TestActionsWithoutAnAPIHaveNoToken(t *testing.T) {
	t.Parallel()
	out := &outagetest.Journal{}
	h := newHost(t, nil)
	h.log = out.Logger()
	h.start()
	for range 2 {
		if row := h.with(nil, "a.sh", `[ -z "${ATTUNE_API_URL+x}${ATTUNE_API_TOKEN+x}" ]`); row.Status != attune.StatusCompleted {
			t.Errorf("%s %+v", row.Status, row.Error)
		}
	}
	if n := out.Count("server.url is not set"); n != 1 {
		t.Errorf("the log says so %d times: %s", n, out)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "master.keys")); !os.IsNotExist(err) {
		t.Errorf("master keys that nobody needs: %v", err)
	}
}

// TestWhatIsAddedToAnAttemptWithSecretsIsMasked has somebody add files while the action, which has a key, runs.
func TestWhatIsAddedToAnAttemptWithSecretsIsMasked(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"masked": hunter, "too short to be masked": "12345"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, withAPI).start()
			h.set("", "token", value)
			id := h.submit("a.sh", `echo own >"$ATTUNE_ARTIFACTS_DIR/own"; while [ ! -e "$GO" ]; do sleep 0.01; done`, `{}`, func(a *attune.Action) {
				a.Secrets, a.Env = []string{"token"}, map[string]string{"GO": filepath.Join(h.dir, "go")}
			})
			h.place()
			kept, err := artifact.New(filepath.Join(h.dir, "artifacts"), "w")
			if err != nil {
				t.Fatal(err)
			}
			storetest.Eventually(t, func() bool {
				_, err := kept.Attempt(id, 1).Add("files/added", strings.NewReader("it is "+value), 100, true, nil)
				return err == nil
			})
			if err := os.WriteFile(filepath.Join(h.dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			row := h.until(id, attune.Status.Final)
			if row.Status != attune.StatusCompleted {
				t.Fatalf("%s %+v", row.Status, row.Error)
			}
			want := "it is " + value
			if name == "masked" {
				want = "it is ********"
				h.nowhere(hunter)
			}
			if got := h.read("execution_1/files/added"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if got := h.read("execution_1/files/own"); got != "own\n" {
				t.Errorf("%q", got)
			}
			stored, err := h.store.Read().Artifacts(t.Context(), id)
			if err != nil || !strings.Contains(fmt.Sprint(stored), "files/added") {
				t.Errorf("%+v %v", stored, err)
			}
		})
	}
}

// TestHeldFilesOfAnEarlierLifeAreGone starts a worker where one was killed while files were held.
func TestHeldFilesOfAnEarlierLifeAreGone(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	kept, err := artifact.New(filepath.Join(h.dir, "artifacts"), "w")
	if err != nil {
		t.Fatal(err)
	}
	attempt, err := kept.Create(7, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := attempt.Hold(); err != nil {
		t.Fatal(err)
	}
	if _, err := attempt.Add("files/a", strings.NewReader(hunter), 100, true, nil); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.nowhere(hunter)
}

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestOrderIsThatOfWhatComes has masking hold back the ends of lines, which are a part of their lines all the same.
func TestOrderIsThatOfWhatComes(t *testing.T) {
	t.Parallel()
	const own = "attune_x_42.1.c2VjcmV0IGVub3VnaCB0byBiZSBhIHRva2Vu"
	lines := []string{"step 1\n", "ERROR in step 1\n", "step 2\n", "ERROR in step 2\n", "attune\n", "attu\n"}
	want := make(attune.OutputOrder, len(lines))
	for i, line := range lines {
		want[i] = int64(len(line))
	}
	order, held := worker.Interleave(own, lines...)
	if diff := cmp.Diff(want, order); diff != "" || held == 0 {
		t.Errorf("%d ends were held back: %s", held, diff)
	}
	order, _ = worker.Interleave(own, "it is "+own+"\n", "two\n", "three\n", "four\n")
	if len(order) != 4 || order[1] != 4 || order[2] > 6 || order[3] != 5 {
		t.Error(order)
	}
}
