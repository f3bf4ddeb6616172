package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
	"github.com/attune-automation/attune/internal/worker"
)

// look prints when the directories were made, and whatever is in them or is not as it should be.
const look = `stat -c 'made %w' "$HOME" "$TMPDIR" . "$(dirname "$ATTUNE_CONTEXT_FILE")"
find "$HOME" "$TMPDIR" . "$(dirname "$ATTUNE_CONTEXT_FILE")" -mindepth 1 ! -name context.json -printf 'left %p\n'
find "$HOME" "$TMPDIR" . "$(dirname "$ATTUNE_CONTEXT_FILE")" -maxdepth 0 ! -perm 700 -printf 'mode %p %m\n'
cat "$ATTUNE_CONTEXT_FILE"`

// TestRoomsAreAsNew runs action after action in one slot: the next one finds nothing of the last one's, whatever that
// one has done to its directories, and only what was left as it was found is used again.
func TestRoomsAreAsNew(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Slots = 1 }).start()
	run := func(script string) (row store.ExecutionRow) {
		t.Helper()
		id := h.submit("a.sh", script, `{}`, nil)
		storetest.Eventually(t, func() bool {
			h.place() // again if it comes back: the last one's slot is free a moment after its row tells so
			var err error
			row, err = h.store.Read().Execution(t.Context(), id)
			return err == nil && row.Status.Final()
		})
		return row
	}
	seen := func() (made string) {
		t.Helper()
		row := run(look)
		if row.Status != attune.StatusCompleted {
			t.Fatalf("%+v", row.Error)
		}
		text := h.read(fmt.Sprintf("execution_%d/stdout.log", row.ID))
		if strings.Contains(text, "left") || strings.Contains(text, "mode") || !strings.HasSuffix(text, "{}") {
			t.Errorf("it finds %s", text)
		}
		return text
	}
	if first, second := seen(), seen(); first != second {
		t.Errorf("what was left as it was found is not used again: %s%s", first, second)
	}
	for name, spoil := range map[string]string{
		"a file":               `touch "$HOME/.profile"`,
		"a directory":          `mkdir "$TMPDIR/x"`,
		"a link":               `ln -s / x`,
		"another mode":         `chmod 500 "$HOME"`,
		"no access":            `touch x; chmod 0 .`,
		"another directory":    `rmdir "$TMPDIR"; mkdir -m 700 "$TMPDIR"`,
		"a link in its place":  `rmdir "$HOME"; ln -s / "$HOME"`,
		"one beside":           `mkdir -m 700 "$HOME/../more"`,
		"another context":      `echo '{"a":1}' > "$ATTUNE_CONTEXT_FILE"`,
		"no context":           `rm "$ATTUNE_CONTEXT_FILE"`,
		"a name more of it":    `ln "$ATTUNE_CONTEXT_FILE" "$ATTUNE_ARTIFACTS_DIR/context"`,
		"another in its place": `echo {} > x; mv x "$ATTUNE_CONTEXT_FILE"`,
		"a huge context":       `truncate -s 8T "$ATTUNE_CONTEXT_FILE" || truncate -s 8G "$ATTUNE_CONTEXT_FILE"`,
		"a FIFO as context":    `rm "$ATTUNE_CONTEXT_FILE"; mkfifo "$ATTUNE_CONTEXT_FILE"`,
		"an attribute":         `python3 -c 'import os; os.setxattr(os.environ["HOME"], "user.leak", b"x")' || touch "$HOME/x"`,
		"a flag":               `chattr +A "$HOME" || touch "$HOME/x"`,
		"all is gone":          `rm -rf "$(dirname "$HOME")"`,
	} {
		before := seen()
		if row := run(spoil); row.Status != attune.StatusCompleted {
			t.Errorf("%s: %+v", name, row.Error)
		}
		if after := seen(); after == before {
			t.Errorf("%s: it is used again", name)
		}
	}
	row := run(`echo "$HOME"`)
	home := strings.TrimSpace(h.read(fmt.Sprintf("execution_%d/stdout.log", row.ID)))
	storetest.Eventually(t, func() bool { _, err := os.Lstat(home); return os.IsNotExist(err) })
	if err := h.end(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"tasks", "spare", "processes"} {
		if left, _ := os.ReadDir(filepath.Join(h.dir, "workers", "w", name)); len(left) > 0 {
			t.Errorf("%s: %v", name, left)
		}
	}
}

// TestBriefWorkerKeepsRoomsFromItsSecondAttempt is about the worker of a command, which most often runs one action.
func TestBriefWorkerKeepsRoomsFromItsSecondAttempt(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *worker.Config) { c.Slots, c.Exclusive = 1, true }).start()
	var made []string
	for range 3 {
		row := h.run("a.sh", `stat -c %i "$HOME"; echo "$HOME"`, `{}`)
		inode, home, _ := strings.Cut(strings.TrimSpace(h.read(fmt.Sprintf("execution_%d/stdout.log", row.ID))), "\n")
		storetest.Eventually(t, func() bool { _, err := os.Lstat(home); return os.IsNotExist(err) })
		made = append(made, inode)
		if kept, _ := os.ReadDir(filepath.Join(h.dir, "workers", "w", "spare")); len(kept) != min(1, len(made)-1) {
			t.Errorf("attempt %d: %d rooms are kept", len(made), len(kept))
		}
	}
	if made[1] != made[2] {
		t.Errorf("the room of the second attempt is not used again: %q", made)
	}
}
