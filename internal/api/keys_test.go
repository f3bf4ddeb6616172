package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/api"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

func newKeyServer(t *testing.T, db storetest.Database) *server {
	t.Helper()
	s, _ := newServerOn(t, db)
	return s
}

func TestKeysAreSetRevealedAndDeleted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := newKeyServer(t, db), context.Background()
		for _, id := range []attune.KeyID{
			{Owner: attune.OwnerSystem, Name: "k"}, {Owner: attune.OwnerPack, Of: "web", Name: "k"},
			{Owner: attune.OwnerAction, Of: "web.deploy", Name: "k"},
		} {
			for _, value := range []string{"value of " + id.String(), "next value\nof two lines\n", "no\xffUTF-8\x00 of it", strings.Repeat("x", 64<<10)} {
				k, err := s.SetKey(ctx, id, []byte(value), false)
				if err != nil || k.KeyID != id || k.Bytes != len(value) || k.Unmaskable {
					t.Fatalf("%+v %v", k, err)
				}
				if got, err := s.RevealKey(ctx, id); err != nil || string(got) != value {
					t.Errorf("%s: revealed %.40q, %v", id, got, err)
				}
			}
		}
		keys, err := s.Keys(ctx)
		if err != nil || len(keys) != 3 {
			t.Fatalf("%+v %v", keys, err)
		}
		for _, k := range keys {
			if err := s.DeleteKey(ctx, k.KeyID); err != nil {
				t.Error(err)
			}
			if _, err := s.RevealKey(ctx, k.KeyID); attune.ErrorCode(err) != attune.CodeNotFound {
				t.Errorf("%v", err)
			}
		}
	})
}

// audits returns the audit log, oldest first.
func audits(t *testing.T, db storetest.Database) (events []string) {
	t.Helper()
	rows, err := db.Raw(t).QueryContext(context.Background(), `SELECT actor, event, subject FROM audit ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var actor, event, subject string
		if err := rows.Scan(&actor, &event, &subject); err != nil {
			t.Fatal(err)
		}
		events = append(events, actor+": "+event+": "+subject)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return events
}

func TestWhatIsDoneWithKeysIsAudited(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := newKeyServer(t, db), context.Background()
		id := attune.KeyID{Owner: attune.OwnerPack, Of: "web", Name: "k"}
		if _, err := s.SetKey(ctx, id, []byte("hunter2-hunter2"), false); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RevealKey(ctx, id); err != nil {
			t.Fatal(err)
		}
		r, err := s.RotateKeys(ctx)
		if err != nil || r.Rewrapped != 1 {
			t.Fatalf("%+v %v", r, err)
		}
		if err := s.DeleteKey(ctx, id); err != nil {
			t.Fatal(err)
		}
		// What could not be done, or only looks, is not there.
		if err := s.DeleteKey(ctx, id); attune.ErrorCode(err) != attune.CodeNotFound {
			t.Fatal(err)
		}
		if _, err := s.Keys(ctx); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"local token: key set: " + id.String(), "local token: key revealed: " + id.String(),
			"local token: rotation of keys begun: master key " + r.MasterKey, "local token: keys rotated: master key " + r.MasterKey,
			"local token: key deleted: " + id.String(),
		}
		if got := audits(t, db); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestWrongKeysAreRefusedWithoutRepeatingThem(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t, storetest.SQLite(t))
	for _, test := range []struct{ path, body, want string }{
		{"k-k", `{"value":"long-enough-secret"}`, `"location":"path.key"`},
		{"k?pack=P", `{"value":"long-enough-secret"}`, `"location":"query.pack"`},
		{"k?action=deploy", `{"value":"long-enough-secret"}`, `"location":"query.action"`},
		{"k?pack=", `{"value":"long-enough-secret"}`, `"location":"query.pack"`},
		{"k?pack=web&action=", `{"value":"long-enough-secret"}`, `"location":"query.action"`},
		{"k?action=a.b&pack=a", `{"value":"long-enough-secret"}`, "not both"},
		{"k", `{"value":""}`, "is empty"},
		{"k", `{"value":"secret7"}`, "too short to be masked"},
		{"k", `{"value":["long-enough-secret"]}`, `"location":"body.value"`},
		{"k", `{"value":"long-enough-secret","encoding":"base64"}`, "is no base64"},
		{"k", `{"value":"long-enough-secret","encoding":"rot13"}`, `"location":"body.encoding"`},
		{"k", `{"valeu":"long-enough-secret"}`, "required"},
		{"k", `{"value":"` + strings.Repeat("secret", 11000) + `"}`, "at most 65536"},
	} {
		status, body := s.send(http.MethodPut, "/api/v1/keys/"+test.path, test.body)
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, test.want) || strings.Contains(body, "secret") {
			t.Errorf("%s %.60s: %d %s", test.path, test.body, status, body)
		}
	}
	if k, err := s.SetKey(context.Background(), attune.KeyID{Owner: attune.OwnerSystem, Name: "pin"}, []byte("1234"), true); err != nil || !k.Unmaskable {
		t.Errorf("%+v %v", k, err)
	}
}

func TestWithoutMasterKeyNothingIsStored(t *testing.T) {
	t.Parallel()
	s, _ := newServerOn(t, storetest.SQLite(t), func(c *api.Config) { c.Keys = secret.NewSafe(secret.SafeConfig{}) })
	s.wantProblem(http.MethodPut, "/api/v1/keys/k", `{"value":"long-enough"}`, 409, "security.encryption_key_file")
	s.wantProblem(http.MethodPost, "/api/v1/keys/rotate", "", 409, "security.encryption_key_file")
}

// TestSwappedRowsAreNotDelivered is about somebody who can write to the database and has no master key.
func TestSwappedRowsAreNotDelivered(t *testing.T) {
	t.Parallel()
	s, ctx := newKeyServer(t, storetest.SQLite(t)), context.Background()
	mine, theirs := attune.KeyID{Owner: attune.OwnerPack, Of: "mine", Name: "k"}, attune.KeyID{Owner: attune.OwnerPack, Of: "theirs", Name: "k"}
	for _, id := range []attune.KeyID{mine, theirs} {
		if _, err := s.SetKey(ctx, id, []byte("the secret of "+id.Of), false); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Write(t, s.store, func(ctx context.Context, q *store.Queries) error {
		row, err := q.Key(ctx, theirs)
		if err != nil {
			return err
		}
		row.KeyID = mine
		return q.PutKey(ctx, row)
	})
	s.wantProblem(http.MethodPost, "/api/v1/keys/k/reveal?pack=mine", "", 409, "can't be decrypted")
}

func TestRotationBringsAllUnderANewMasterKey(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := newKeyServer(t, db), context.Background()
		id := func(i int) attune.KeyID {
			return attune.KeyID{Owner: attune.OwnerSystem, Name: fmt.Sprintf("k%d", i)}
		}
		var before string
		for i := range 5 {
			k, err := s.SetKey(ctx, id(i), fmt.Appendf(nil, "value number %d", i), false)
			if err != nil {
				t.Fatal(err)
			}
			before = k.MasterKey
		}
		for range 2 {
			r, err := s.RotateKeys(ctx)
			if err != nil || r.Rewrapped != 5 || r.MasterKey == before || len(r.Failed) != 0 {
				t.Fatalf("%+v %v", r, err)
			}
			before = r.MasterKey
			keys, err := s.Keys(ctx)
			for i, k := range keys {
				value, openErr := s.RevealKey(ctx, id(i))
				if k.MasterKey != before || string(value) != fmt.Sprintf("value number %d", i) || openErr != nil {
					t.Errorf("%+v %q %v", k, value, openErr)
				}
			}
			if err != nil || len(keys) != 5 {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		}
	})
}

func TestSecretParametersAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, ctx := newKeyServer(t, db), context.Background()
		action := storetest.Action("web.login")
		action.Parameters = json.RawMessage(`{"type":"object","properties":{"user":{},"password":{"type":"string","x-secret":true}}}`)
		storetest.PutAction(t, s.store, action)
		submit := func(password string) attune.Execution {
			return s.submit(client.Submission{
				Action: action.Ref, Parameters: json.RawMessage(`{"user":"ada","password":"` + password + `"}`), IdempotencyKey: "k",
			})
		}
		e := submit("hunter2-hunter2")
		if want := `{"password":"********","user":"ada"}`; string(e.Parameters) != want {
			t.Errorf("%s, want %s", e.Parameters, want)
		}
		if again := submit("another-secret"); again.ID != e.ID {
			t.Errorf("the digest of the request tells secrets apart: %d and %d", e.ID, again.ID)
		}
		row, err := s.store.Read().Execution(ctx, e.ID)
		if err != nil || strings.Contains(fmt.Sprintf("%q", row.Secrets), "hunter2") || len(row.Secrets) == 0 {
			t.Errorf("stored is %q, %v", row.Secrets, err)
		}
		if got, err := s.RevealParameters(ctx, e.ID); err != nil || string(got) != `{"password":"hunter2-hunter2","user":"ada"}` {
			t.Errorf("revealed %s, %v", got, err)
		}
		var events int
		if err := db.Raw(t).QueryRowContext(ctx, `SELECT count(*) FROM audit WHERE event = 'parameters revealed' AND subject = 'execution 1 of web.login' AND actor = 'local token'`).Scan(&events); err != nil || events != 1 {
			t.Errorf("%d audit events, %v", events, err)
		}
		rerun, err := s.Rerun(ctx, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.RevealParameters(ctx, rerun.ID); err != nil || string(got) != `{"password":"hunter2-hunter2","user":"ada"}` {
			t.Errorf("the rerun has %s, %v", got, err)
		}
		s.wantProblem(http.MethodPost, "/api/v1/executions",
			`{"action":"web.login","parameters":{"password":"`+strings.Repeat("x", attune.MaxSecretBytes)+`"}}`, 422, "at most 262144")
	})
}
