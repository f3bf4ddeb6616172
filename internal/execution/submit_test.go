package execution_test

import (
	"context"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestRefusedScriptIsNotStored(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		submit := func(content string) error {
			script := storetest.Action("script.a")
			script.Digest = content
			_, _, err := b.Submit(context.Background(), execution.Submission{
				Action: script, Archive: []byte(content), IdempotencyKey: "k", RequestDigest: content,
			})
			return err
		}
		if err := submit("echo one"); err != nil {
			t.Fatal(err)
		}
		stored := func() (n int) {
			t.Helper()
			const count = `SELECT (SELECT count(*) FROM action) + (SELECT count(*) FROM archive)`
			if err := db.Raw(t).QueryRow(count).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := stored()
		if err := submit("echo two"); attune.ErrorCode(err) != attune.CodeConflict {
			t.Error(err)
		}
		if after := stored(); after != before {
			t.Errorf("%d rows more", after-before)
		}
	})
}

// TestNestingIsBounded has executions start one another until no further one may.
func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		ctx := context.Background()
		action := storetest.PutAction(t, b.store, storetest.Action("demo.hello"))
		var parent *store.ExecutionRow
		for depth := range execution.MaxDepth + 1 {
			row, _, err := b.Submit(ctx, execution.Submission{Action: action.Action, ActionID: action.ID, Parent: parent})
			if err != nil {
				t.Fatal(err)
			}
			if row.Depth != depth || (row.Parent == nil) != (depth == 0) || parent != nil && *row.Parent != parent.ID {
				t.Errorf("%d: parent %v, depth %d", row.ID, row.Parent, row.Depth)
			}
			parent = &row
		}
		_, _, err := b.Submit(ctx, execution.Submission{Action: action.Action, ActionID: action.ID, Parent: parent})
		if attune.ErrorCode(err) != attune.CodeConflict || !strings.Contains(err.Error(), "nested 10 deep") {
			t.Error(err)
		}
		again, err := b.Rerun(ctx, parent.ID, 0, "")
		if err != nil || again.Parent != nil || again.Depth != 0 {
			t.Errorf("a rerun is nobody's child: %v %d %v", again.Parent, again.Depth, err)
		}
	})
}
