package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/attune-automation/attune"
)

// TokenRow is a token with what decides whether it lets in.
type TokenRow struct {
	attune.Token
	Hash    []byte // SHA-256 of its secret part
	Expired bool   // by the database's clock
	Stale   bool   // last_used_at is more than a minute old
}

const tokenColumns = `id, name, hash, role, packs, created_by, created_at, expires_at, last_used_at,
	expires_at IS NOT NULL AND expires_at <= {now}, last_used_at IS NULL OR last_used_at < {now} - 60000000`

func scanToken(row scanner) (t TokenRow, err error) {
	var packs string
	var created int64
	var expires, used sql.NullInt64
	err = row.Scan(&t.ID, &t.Name, &t.Hash, (*string)(&t.Role), &packs, &t.CreatedBy, &created, &expires, &used, &t.Expired, &t.Stale)
	if err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt = fromMicros(created), maybeMicros(expires), maybeMicros(used)
	return t, json.Unmarshal([]byte(packs), &t.Packs)
}

func maybeMicros(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	at := fromMicros(us.Int64)
	return &at
}

// PutToken stores a new token, which lasts for so long, for ever if that is 0. PostgreSQL would take a number that is
// compared with 0 for one of 32 bits: 36 minutes.
func (q *Queries) PutToken(ctx context.Context, t TokenRow, lasts time.Duration) (TokenRow, error) {
	packs, err := json.Marshal(append([]string{}, t.Packs...))
	if err != nil {
		return t, err
	}
	stored, err := scanToken(q.row(ctx, `
		INSERT INTO token (name, hash, role, packs, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, {now}, CASE WHEN CAST($6 AS BIGINT) > 0 THEN {now} + $6 END) RETURNING `+tokenColumns,
		t.Name, t.Hash, string(t.Role), string(packs), clean(t.CreatedBy), lasts.Microseconds()))
	return stored, wrap(err, "store the token %s", t.Name)
}

// TokensByHash returns the tokens whose secret parts have these hashes.
func (q *Queries) TokensByHash(ctx context.Context, hashes [][]byte) ([]TokenRow, error) {
	list, args := inList(nil, hashes)
	tokens, err := collect(ctx, q, scanToken, `SELECT `+tokenColumns+` FROM token WHERE hash IN `+list, args...)
	return tokens, wrap(err, "look up tokens")
}

// Tokens returns all tokens, the newest first.
func (q *Queries) Tokens(ctx context.Context) ([]TokenRow, error) {
	tokens, err := collect(ctx, q, scanToken, `SELECT `+tokenColumns+` FROM token ORDER BY id DESC`)
	return tokens, wrap(err, "list tokens")
}

// DeleteToken removes a token, which then lets nobody in any more, and returns it.
func (q *Queries) DeleteToken(ctx context.Context, id int64) (TokenRow, error) {
	t, err := scanToken(q.row(ctx, `DELETE FROM token WHERE id = $1 RETURNING `+tokenColumns, id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, attune.Errorf(attune.CodeNotFound, "there is no token %d: `attune token list` shows what there is", id)
	}
	return t, wrap(err, "remove the token %d", id)
}

// TokenUsed notes that a token was used.
func (q *Queries) TokenUsed(ctx context.Context, id int64) error {
	_, err := q.exec(ctx, `UPDATE token SET last_used_at = {now} WHERE id = $1`, id)
	return wrap(err, "note the use of the token %d", id)
}
