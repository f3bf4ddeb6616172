package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func keyRow(owner attune.KeyOwner, of, name, sealed string) store.KeyRow {
	return store.KeyRow{
		Key:    attune.Key{KeyID: attune.KeyID{Owner: owner, Of: of, Name: name}, Bytes: len(sealed), MasterKey: "m1"},
		Sealed: []byte(sealed),
	}
}

func TestKeysAreStoredByOwnerAndName(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			for _, k := range []store.KeyRow{
				keyRow(attune.OwnerAction, "web.deploy", "token", "a"), keyRow(attune.OwnerAction, "web.other", "token", "b"),
				keyRow(attune.OwnerPack, "web", "token", "c"), keyRow(attune.OwnerPack, "db", "token", "d"),
				keyRow(attune.OwnerSystem, "", "token", "e"), keyRow(attune.OwnerSystem, "", "more", "f"),
				keyRow(attune.OwnerSystem, "", "token", "next"),
			} {
				if err := q.PutKey(ctx, k); err != nil {
					return err
				}
			}
			return q.Audit(ctx, attune.AuditEvent{Actor: "user ada", Event: "key set", Subject: "token"})
		})
		ctx, read := context.Background(), s.Read()
		list := func(rows []store.KeyRow, err error) string {
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, k := range rows {
				all = append(all, fmt.Sprintf("%s=%s", k.KeyID, k.Sealed))
			}
			return strings.Join(all, ", ")
		}
		if got, want := list(read.Keys(ctx)), "more=f, token=next, token of pack db=d, token of pack web=c, "+
			"token of action web.deploy=a, token of action web.other=b"; got != want {
			t.Errorf("all: %s", got)
		}
		for _, part := range []string{"token of action web.deploy=a", "token of pack web=c", "token=next"} {
			if got := list(read.KeysFor(ctx, "web.deploy", []string{"token"})); !strings.Contains(got, part) || strings.Count(got, "=") != 3 {
				t.Errorf("of web.deploy: %s", got)
			}
		}
		id := attune.KeyID{Owner: attune.OwnerPack, Of: "web", Name: "token"}
		k, err := read.Key(ctx, id)
		if err != nil || k.MasterKey != "m1" || k.CreatedAt.IsZero() || k.UpdatedAt.IsZero() {
			t.Errorf("%+v %v", k, err)
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			if done, err := q.RewrapKey(ctx, k, "m2", []byte("c2")); !done || err != nil {
				t.Errorf("rewrapped: %v %v", done, err)
			}
			if done, err := q.RewrapKey(ctx, k, "m3", []byte("c3")); done || err != nil {
				t.Errorf("what has changed is rewrapped: %v %v", done, err)
			}
			return nil
		})
		if k, err = read.Key(ctx, id); err != nil || k.MasterKey != "m2" || string(k.Sealed) != "c2" {
			t.Errorf("%+v %v", k, err)
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error { return q.DeleteKey(ctx, id) })
		err = s.Write(ctx, func(q *store.Queries) error { return q.DeleteKey(ctx, id) })
		if attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("deleted twice: %v", err)
		}
		if _, err := read.Key(ctx, id); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Errorf("it is still there: %v", err)
		}
	})
}

func TestSecretParametersAreListedAndRewrapped(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("web.deploy"))
		some := asked(action, 4)
		some[1].Secrets, some[3].Secrets = []byte("one"), []byte("two")
		some[3].Parameters = some[1].Parameters // only the secrets tell them apart
		var rows []store.ExecutionRow
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) (err error) {
			rows, err = q.InsertExecutions(ctx, some)
			return err
		})
		for i, r := range rows {
			if string(r.Secrets) != string(some[i].Secrets) {
				t.Errorf("row %d has %q", i, r.Secrets)
			}
		}
		ctx := context.Background()
		found, err := s.Read().SealedParametersAfter(ctx, 0, 1)
		if err != nil || len(found) != 1 || found[0].ExecutionID != rows[1].ID || string(found[0].Sealed) != "one" || found[0].Action != action.Ref {
			t.Errorf("%+v %v", found, err)
		}
		storetest.Write(t, s, func(ctx context.Context, q *store.Queries) error {
			for _, test := range []struct {
				row    int
				was    string
				stored bool
			}{{0, "", false}, {1, "one", true}, {1, "one", false}} { // at last, somebody else has done so
				was := store.SealedParameters{ExecutionID: rows[test.row].ID, Sealed: []byte(test.was)}
				stored, err := q.RewrapParameters(ctx, was, []byte("anew"))
				if err != nil || stored != test.stored {
					t.Errorf("%+v: %v %v", test, stored, err)
				}
			}
			return nil
		})
		found, err = s.Read().SealedParametersAfter(ctx, 0, 10)
		if err != nil || len(found) != 2 || string(found[0].Sealed) != "anew" || string(found[1].Sealed) != "two" {
			t.Errorf("%+v %v", found, err)
		}
	})
}
