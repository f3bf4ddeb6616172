package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/attune-automation/attune"
)

// KeyRow is a key with its encrypted value.
type KeyRow struct {
	attune.Key
	Sealed []byte
}

const keyColumns = `owner, owner_ref, name, key_id, ciphertext, value_bytes, unmaskable, created_at, updated_at`

func scanKey(row scanner) (k KeyRow, err error) {
	var created, updated int64
	err = row.Scan((*string)(&k.Owner), &k.Of, &k.Name, &k.MasterKey, &k.Sealed, &k.Bytes, &k.Unmaskable, &created, &updated)
	k.CreatedAt, k.UpdatedAt = fromMicros(created), fromMicros(updated)
	return k, err
}

// PutKey stores a key, or its next value.
func (q *Queries) PutKey(ctx context.Context, k KeyRow) error {
	_, err := q.exec(ctx, `
		INSERT INTO key (owner, owner_ref, name, key_id, ciphertext, value_bytes, unmaskable, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, {now}, {now})
		ON CONFLICT (owner, owner_ref, name) DO UPDATE SET key_id = excluded.key_id, ciphertext = excluded.ciphertext,
			value_bytes = excluded.value_bytes, unmaskable = excluded.unmaskable, updated_at = excluded.updated_at`,
		string(k.Owner), k.Of, k.Name, k.MasterKey, k.Sealed, k.Bytes, k.Unmaskable)
	return wrap(err, "store the key %s", k.KeyID)
}

// Key returns one key.
func (q *Queries) Key(ctx context.Context, id attune.KeyID) (KeyRow, error) {
	k, err := scanKey(q.row(ctx, `SELECT `+keyColumns+` FROM key WHERE owner = $1 AND owner_ref = $2 AND name = $3`,
		string(id.Owner), id.Of, id.Name))
	if errors.Is(err, sql.ErrNoRows) {
		return k, noKey(id)
	}
	return k, wrap(err, "load the key %s", id)
}

func noKey(id attune.KeyID) error {
	return attune.Errorf(attune.CodeNotFound, "there is no key %s: `attune key list` shows what there is", id)
}

// Keys returns all keys, those of the system first.
func (q *Queries) Keys(ctx context.Context) ([]KeyRow, error) {
	keys, err := collect(ctx, q, scanKey, `SELECT `+keyColumns+` FROM key
		ORDER BY CASE owner WHEN 'system' THEN 1 WHEN 'pack' THEN 2 ELSE 3 END, owner_ref, name`)
	return keys, wrap(err, "list the keys")
}

// KeysFor returns the keys of these names that an action may have: its own, its pack's and the system's.
func (q *Queries) KeysFor(ctx context.Context, action attune.Ref, names []string) ([]KeyRow, error) {
	list, args := inList([]any{string(action), action.Pack()}, names)
	keys, err := collect(ctx, q, scanKey, `SELECT `+keyColumns+` FROM key WHERE name IN `+list+`
		AND (owner = 'action' AND owner_ref = $1 OR owner = 'pack' AND owner_ref = $2 OR owner = 'system')`, args...)
	return keys, wrap(err, "load the keys of %s", action)
}

// DeleteKey removes a key.
func (q *Queries) DeleteKey(ctx context.Context, id attune.KeyID) error {
	n, err := q.exec(ctx, `DELETE FROM key WHERE owner = $1 AND owner_ref = $2 AND name = $3`, string(id.Owner), id.Of, id.Name)
	if err == nil && n == 0 {
		return noKey(id)
	}
	return wrap(err, "delete the key %s", id)
}

// RewrapKey stores the same value under another master key. A key that has changed since it was read stays as it is: the
// answer is then false.
func (q *Queries) RewrapKey(ctx context.Context, was KeyRow, masterKey string, sealed []byte) (bool, error) {
	n, err := q.exec(ctx, `UPDATE key SET key_id = $1, ciphertext = $2
		WHERE owner = $3 AND owner_ref = $4 AND name = $5 AND ciphertext = $6`,
		masterKey, sealed, string(was.Owner), was.Of, was.Name, was.Sealed)
	return n > 0, wrap(err, "wrap the key %s anew", was.KeyID)
}

// AnySealed tells whether there is anything that only a master key opens.
func (q *Queries) AnySealed(ctx context.Context) (sealed bool, err error) {
	err = q.row(ctx, `SELECT EXISTS (SELECT 1 FROM key) OR EXISTS (SELECT 1 FROM execution WHERE secrets IS NOT NULL)`).Scan(&sealed)
	return sealed, wrap(err, "look whether anything is sealed")
}

// SealedParameters are the secret parameters of an execution, encrypted.
type SealedParameters struct {
	ExecutionID int64
	Action      attune.Ref
	Sealed      []byte
}

// SealedParametersAfter returns those of the next executions that have any, by id.
func (q *Queries) SealedParametersAfter(ctx context.Context, id int64, limit int) ([]SealedParameters, error) {
	found, err := collect(ctx, q, func(row scanner) (p SealedParameters, err error) {
		err = row.Scan(&p.ExecutionID, (*string)(&p.Action), &p.Sealed)
		return p, err
	}, `SELECT id, action_ref, secrets FROM execution WHERE secrets IS NOT NULL AND id > $1 ORDER BY id LIMIT $2`, id, limit)
	return found, wrap(err, "list secret parameters")
}

// RewrapParameters stores the same secret parameters under another master key, unless they have changed since they were
// read: somebody else wraps them anew, too, or they are gone. The answer is then false.
func (q *Queries) RewrapParameters(ctx context.Context, was SealedParameters, sealed []byte) (bool, error) {
	n, err := q.exec(ctx, `UPDATE execution SET secrets = $1 WHERE id = $2 AND secrets = $3`, sealed, was.ExecutionID, was.Sealed)
	return n > 0, wrap(err, "wrap the secret parameters of execution %d anew", was.ExecutionID)
}
