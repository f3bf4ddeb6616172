package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

const (
	keyTag = "keys"

	// maxKeyBytes bounds a value; an environment holds less, and gets none that is larger.
	maxKeyBytes = 64 << 10
	// maxKeyBody leaves room for its escapes in JSON.
	maxKeyBody = 8 * maxKeyBytes
)

func (a *API) registerKeys(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/api/v1/keys", Tags: []string{keyTag},
		Summary: "List the keys, without their values",
	}, within(attune.RoleViewer)), inTime(a, a.listKeys))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-key", Method: http.MethodGet, Path: "/api/v1/keys/{key}", Tags: []string{keyTag},
		Summary: "Get what may be known of a key without its value",
	}, ofKey(attune.RoleViewer)), inTime(a, a.getKey))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "set-key", Method: http.MethodPut, Path: "/api/v1/keys/{key}", Tags: []string{keyTag},
		Summary:      "Store a key, or its next value",
		Description:  "Executions that begin from then on get the new value.",
		MaxBodyBytes: maxKeyBody, Errors: []int{http.StatusConflict},
	}, ofKey(attune.RoleAdmin)), inTime(a, a.setKey))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "delete-key", Method: http.MethodDelete, Path: "/api/v1/keys/{key}", Tags: []string{keyTag},
		Summary: "Delete a key", DefaultStatus: http.StatusNoContent,
	}, ofKey(attune.RoleAdmin)), inTime(a, a.deleteKey))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "reveal-key", Method: http.MethodPost, Path: "/api/v1/keys/{key}/reveal", Tags: []string{keyTag},
		Summary: "Get the value of a key", Description: "Who did so, and when, is kept in the audit log.",
		Errors: []int{http.StatusConflict},
	}, ofKey(attune.RoleAdmin)), inTime(a, a.revealKey))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "rotate-keys", Method: http.MethodPost, Path: "/api/v1/keys/rotate", Tags: []string{keyTag},
		Summary: "Encrypt everything under the newest master key",
		Description: "On the embedded shape a new master key is made first. With PostgreSQL it is the first one in the server's " +
			"key file, which every server and worker must have by then. What runs is not disturbed.",
		Errors: []int{http.StatusConflict},
	}, everywhere(attune.RoleAdmin)), a.rotateKeys)
}

// KeyQuery says whose a key is; neither is the system's.
type KeyQuery struct {
	Pack   string `query:"pack" doc:"a key that the actions of this pack may have"`
	Action string `query:"action" doc:"a key that this action may have"`
}

// Resolve refuses an owner that is there and empty: it is not the system. It is exported for huma.
func (KeyQuery) Resolve(request huma.Context) (faults []error) {
	url := request.URL()
	for _, name := range []string{"pack", "action"} {
		if query := url.Query(); query.Has(name) && query.Get(name) == "" {
			faults = append(faults, &huma.ErrorDetail{Location: "query." + name, Message: "is empty: leave it out for a key of the system"})
		}
	}
	return faults
}

var _ huma.Resolver = KeyQuery{}

// KeyPath names a key.
type KeyPath struct {
	KeyQuery
	Name string `path:"key" doc:"the key's name" example:"api_key"`
}

// id checks what names a key.
func (k KeyPath) id() (attune.KeyID, error) {
	id := attune.KeyID{Owner: attune.OwnerSystem, Name: k.Name}
	if err := attune.CheckKeyName(k.Name); err != nil {
		return id, invalidField("path.key", err.Error())
	}
	switch {
	case k.Pack != "" && k.Action != "":
		return id, invalidField("query.action", "give pack or action, not both")
	case k.Pack != "":
		if err := attune.CheckPackRef(k.Pack); err != nil {
			return id, invalidField("query.pack", err.Error())
		}
		id.Owner, id.Of = attune.OwnerPack, k.Pack
	case k.Action != "":
		if _, err := attune.ParseRef(k.Action); err != nil {
			return id, invalidField("query.action", err.Error())
		}
		id.Owner, id.Of = attune.OwnerAction, k.Action
	}
	return id, nil
}

type keyList struct {
	Body struct {
		Items []attune.Key `json:"items"`
	}
}

type keyAnswer struct {
	Body attune.Key
}

func (a *API) listKeys(ctx context.Context, _ *struct{}) (*keyList, error) {
	rows, err := a.cfg.Store.Read().Keys(ctx)
	if err != nil {
		return nil, a.problem(ctx, "list keys", err)
	}
	answer := &keyList{}
	answer.Body.Items = []attune.Key{}
	for _, row := range rows {
		if who(ctx).reaches(packOf(row.KeyID)) {
			answer.Body.Items = append(answer.Body.Items, row.Key)
		}
	}
	return answer, nil
}

// packOf is the pack that a key belongs to; "" for the system's.
func packOf(id attune.KeyID) string {
	if id.Owner == attune.OwnerAction {
		return attune.Ref(id.Of).Pack()
	}
	return id.Of
}

func (a *API) getKey(ctx context.Context, in *KeyPath) (*keyAnswer, error) {
	id, err := in.id()
	if err != nil {
		return nil, a.problem(ctx, "get a key", err)
	}
	row, err := a.cfg.Store.Read().Key(ctx, id)
	if err != nil {
		return nil, a.problem(ctx, "get a key", err)
	}
	return &keyAnswer{Body: row.Key}, nil
}

// KeyValue is a value as JSON holds it.
type KeyValue struct {
	Value    string `json:"value"`
	Encoding string `json:"encoding,omitempty" enum:"utf-8,base64" doc:"of value; base64 for what is no UTF-8"`
}

const inBase64 = "base64"

func (v KeyValue) bytes() ([]byte, error) {
	if v.Encoding != inBase64 {
		return []byte(v.Value), nil
	}
	value, err := base64.StdEncoding.DecodeString(v.Value)
	if err != nil {
		return nil, invalidField("body.value", "is no base64") // the error would say what is there
	}
	return value, nil
}

func valueOf(value []byte) KeyValue {
	if utf8.Valid(value) {
		return KeyValue{Value: string(value)}
	}
	return KeyValue{Value: base64.StdEncoding.EncodeToString(value), Encoding: inBase64}
}

type setKeyInput struct {
	KeyPath
	Body struct {
		KeyValue
		Unmaskable bool `json:"unmaskable,omitempty" doc:"take a value that is too short to be masked in what an action writes"`
	}
}

func (a *API) setKey(ctx context.Context, in *setKeyInput) (*keyAnswer, error) {
	const doing = "set a key"
	row, err := a.sealKey(in)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	answer := &keyAnswer{}
	err = a.audited(ctx, "key set", func(q *store.Queries) (string, error) {
		if err := q.PutKey(ctx, row); err != nil {
			return "", err
		}
		stored, err := q.Key(ctx, row.KeyID)
		answer.Body = stored.Key
		return row.String(), err
	})
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	return answer, nil
}

func (a *API) sealKey(in *setKeyInput) (row store.KeyRow, err error) {
	if row.KeyID, err = in.id(); err != nil {
		return row, err
	}
	value, err := in.Body.bytes()
	if err != nil {
		return row, err
	}
	row.Bytes, row.Unmaskable = len(value), !secret.Maskable(value)
	switch {
	case len(value) == 0:
		return row, invalidField("body.value", "is empty: delete the key if nothing is to be given")
	case len(value) > maxKeyBytes:
		return row, invalidField("body.value", fmt.Sprintf("has %d bytes: at most %d are possible", len(value), maxKeyBytes))
	case row.Unmaskable && !in.Body.Unmaskable:
		return row, invalidField("body.value", fmt.Sprintf("is too short to be masked in what actions write: take one of at least %d bytes, "+
			"not counting line breaks at its end, of which six are no blanks, or say that this is known (--unmaskable)", attune.MinMaskedBytes))
	}
	if row.Sealed, err = a.cfg.Keys.Seal(secret.OfKey(row.KeyID), value); err != nil {
		return row, keyless(err)
	}
	row.MasterKey, err = secret.SealedUnder(row.Sealed)
	return row, err
}

// keyless tells users why there is no master key, or none that can be used: it is theirs to give.
func keyless(err error) error {
	if err == nil {
		return nil
	}
	return attune.Errorf(attune.CodeConflict, "%v", err)
}

func (a *API) deleteKey(ctx context.Context, in *KeyPath) (*struct{}, error) {
	id, err := in.id()
	if err == nil {
		err = a.audited(ctx, "key deleted", func(q *store.Queries) (string, error) {
			return id.String(), q.DeleteKey(ctx, id)
		})
	}
	return nil, a.problem(ctx, "delete a key", err)
}

type revealedKey struct {
	Body KeyValue
}

func (a *API) revealKey(ctx context.Context, in *KeyPath) (*revealedKey, error) {
	const doing = "reveal a key"
	id, err := in.id()
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	var value []byte
	err = a.audited(ctx, "key revealed", func(q *store.Queries) (string, error) {
		row, err := q.Key(ctx, id)
		if err != nil {
			return "", err
		}
		if value, err = a.cfg.Keys.Open(secret.OfKey(id), row.Sealed); err != nil {
			return "", attune.Errorf(attune.CodeConflict, "the key %s can't be decrypted: %v", id, err)
		}
		return id.String(), nil
	})
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	return &revealedKey{Body: valueOf(value)}, nil
}
