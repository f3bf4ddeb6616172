package execution_test

import (
	"context"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
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
