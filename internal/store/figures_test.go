package store_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func TestFailuresAreCountedByKind(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		before := s.Figures()
		if _, err := s.Read().Worker(t.Context(), 99); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Fatal(err)
		}
		gone, leave := context.WithCancelCause(t.Context())
		leave(nil)
		_, _ = s.Read().Now(gone)
		if now := s.Figures(); now.Failed != before.Failed || now.Unavailable != before.Unavailable {
			t.Errorf("what finds nothing, and who has gone, are no failures: %+v", now)
		}
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, _ = s.Read().Now(late)
		if err := s.Read().Audit(t.Context(), attune.AuditEvent{Actor: "x"}); err == nil {
			t.Error("a reader writes")
		}
		failed := func(f store.Figures) int64 { return f.Unavailable + f.Failed } // PostgreSQL's word for it is that of a standby
		if now := s.Figures(); now.Unavailable == before.Unavailable || failed(now) != failed(before)+2 || now.Read.MaxOpenConnections == 0 {
			t.Errorf("%+v, before %+v", now, before)
		}
	})
}

func TestLinesAreCounted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		if lines, now, err := s.Read().CountLines(t.Context(), 10); err != nil || len(lines) != 0 || !now.IsZero() {
			t.Errorf("%v %v %v", lines, now, err)
		}
		empty := json.RawMessage("{}")
		action := storetest.PutAction(t, s, storetest.Action("demo.go"))
		insert := func(class string) {
			storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
				_, err := q.InsertExecutions(ctx, []store.NewExecution{{ActionID: action.ID, Action: action.Ref, Class: class, MaxAttempts: 1, Parameters: empty, Env: empty, Context: empty}})
				return err
			})
		}
		for range 3 {
			insert(`{"runtime":"shell"}`)
		}
		insert(`{"runtime":"python"}`)
		lines, now, err := s.Read().CountLines(t.Context(), 2)
		if err != nil || len(lines) != 2 || time.Since(now) > time.Minute {
			t.Fatalf("%+v %v %v", lines, now, err)
		}
		counted := map[string]int{}
		for _, l := range lines {
			counted[l.Class] = l.Due
			if l.Later != 0 || l.Since.After(now) {
				t.Errorf("%+v", l)
			}
		}
		if counted[`{"runtime":"shell"}`] != 2 || counted[`{"runtime":"python"}`] != 1 {
			t.Errorf("%+v: one is counted to its end, the other up to the limit", lines)
		}
		if held, err := s.Read().CountHeld(t.Context()); err != nil || len(held) != 0 {
			t.Errorf("%v %v", held, err)
		}
	})
}
