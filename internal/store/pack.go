package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/attune-automation/attune"
)

// PutArchive stores the content under its digest; an archive that is there already stays, and is young again, so that
// nobody prunes it before it is referred to.
func (q *Queries) PutArchive(ctx context.Context, digest string, content []byte) error {
	_, err := q.exec(ctx, `INSERT INTO archive (digest, content, created_at) VALUES ($1, $2, {now})
		ON CONFLICT (digest) DO UPDATE SET created_at = excluded.created_at`, digest, content)
	return wrap(err, "store archive %s", digest)
}

// Archive returns the content stored under a digest.
func (q *Queries) Archive(ctx context.Context, digest string) ([]byte, error) {
	var content []byte
	err := q.row(ctx, `SELECT content FROM archive WHERE digest = $1`, digest).Scan(&content)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, attune.Errorf(attune.CodeNotFound, "the archive %s is no longer stored: install its pack again", digest)
	}
	return content, wrap(err, "load archive %s", digest)
}

// HasArchive tells whether an archive is stored.
func (q *Queries) HasArchive(ctx context.Context, digest string) (bool, error) {
	var n int
	err := q.row(ctx, `SELECT count(*) FROM archive WHERE digest = $1`, digest).Scan(&n)
	return n > 0, wrap(err, "look up archive %s", digest)
}

// PutPack installs or replaces a pack's row.
func (q *Queries) PutPack(ctx context.Context, p attune.Pack) error {
	tags, err := json.Marshal(p.Tags)
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, `
		INSERT INTO pack (ref, digest, version, label, description, author, tags, installed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, {now})
		ON CONFLICT (ref) DO UPDATE SET digest = excluded.digest, version = excluded.version, label = excluded.label,
			description = excluded.description, author = excluded.author, tags = excluded.tags,
			installed_at = excluded.installed_at`,
		p.Ref, p.Digest, clean(p.Version), clean(p.Label), clean(p.Description), clean(p.Author), string(tags))
	return wrap(err, "store pack %s", p.Ref)
}

const packColumns = `ref, digest, version, label, description, author, tags, installed_at`

func scanPack(row scanner) (p attune.Pack, err error) {
	var tags string
	var installed int64
	if err = row.Scan(&p.Ref, &p.Digest, &p.Version, &p.Label, &p.Description, &p.Author, &tags, &installed); err != nil {
		return p, err
	}
	p.InstalledAt = fromMicros(installed)
	return p, json.Unmarshal([]byte(tags), &p.Tags)
}

// Pack returns one installed pack.
func (q *Queries) Pack(ctx context.Context, ref string) (attune.Pack, error) {
	p, err := scanPack(q.row(ctx, `SELECT `+packColumns+` FROM pack WHERE ref = $1`, ref))
	if errors.Is(err, sql.ErrNoRows) {
		return p, attune.Errorf(attune.CodeNotFound,
			"there is no pack %s: `attune pack list` shows what is installed", ref)
	}
	return p, wrap(err, "load pack %s", ref)
}

// Packs returns all installed packs by ref.
func (q *Queries) Packs(ctx context.Context) ([]attune.Pack, error) {
	packs, err := collect(ctx, q, scanPack, `SELECT `+packColumns+` FROM pack ORDER BY ref`)
	return packs, wrap(err, "list packs")
}

// DeletePack removes a pack's row and takes its actions out of use; what was submitted with them still runs.
func (q *Queries) DeletePack(ctx context.Context, ref string) error {
	n, err := q.exec(ctx, `DELETE FROM pack WHERE ref = $1`, ref)
	if err != nil {
		return wrap(err, "remove pack %s", ref)
	}
	if n == 0 {
		return attune.Errorf(attune.CodeNotFound, "there is no pack %s: `attune pack list` shows what is installed", ref)
	}
	return q.RetireActions(ctx, ref)
}

// RetireActions takes all actions of a pack out of use.
func (q *Queries) RetireActions(ctx context.Context, pack string) error {
	_, err := q.exec(ctx, `UPDATE action SET installed = FALSE WHERE pack_ref = $1 AND installed`, pack)
	return wrap(err, "retire the actions of pack %s", pack)
}

// PutAction stores this version of an action and returns its row's id. An action that is not to be installed, such as
// a script's, is kept for its executions only.
func (q *Queries) PutAction(ctx context.Context, a attune.Action, install bool) (id int64, err error) {
	definition, err := json.Marshal(a)
	if err != nil {
		return 0, fmt.Errorf("encode action %s: %w", a.Ref, err)
	}
	sum := sha256.Sum256(definition)
	err = q.row(ctx, `
		INSERT INTO action (ref, pack_ref, digest, definition, definition_digest, installed, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, {now})
		ON CONFLICT (ref, definition_digest) DO UPDATE SET installed = excluded.installed,
			created_at = excluded.created_at
		RETURNING id`,
		string(a.Ref), a.Ref.Pack(), a.Digest, definition, hex.EncodeToString(sum[:]), install).Scan(&id)
	return id, wrap(err, "store action %s", a.Ref)
}

// StoredAction is an action with the id of its row.
type StoredAction struct {
	ID int64
	attune.Action
}

func scanAction(row scanner) (a StoredAction, err error) {
	var definition []byte
	if err = row.Scan(&a.ID, &definition); err != nil {
		return a, err
	}
	return a, json.Unmarshal(definition, &a.Action)
}

// Action returns the installed version of an action.
func (q *Queries) Action(ctx context.Context, ref attune.Ref) (StoredAction, error) {
	a, err := scanAction(q.row(ctx, `SELECT id, definition FROM action WHERE ref = $1 AND installed`, string(ref)))
	if errors.Is(err, sql.ErrNoRows) {
		return a, NoAction(ref)
	}
	return a, wrap(err, "load action %s", ref)
}

// NoAction is the error of an action that is not installed.
func NoAction(ref attune.Ref) error {
	return attune.Errorf(attune.CodeNotFound, "there is no action %s: `attune action list` shows what is installed", ref)
}

// ActionsByRef returns the installed versions of those of the actions that there are.
func (q *Queries) ActionsByRef(ctx context.Context, refs []attune.Ref) ([]StoredAction, error) {
	list, args := inList(nil, refs)
	actions, err := collect(ctx, q, scanAction, `SELECT id, definition FROM action WHERE installed AND ref IN `+list, args...)
	return actions, wrap(err, "load %d actions", len(refs))
}

// ActionVersion returns the version of an action that has this row.
func (q *Queries) ActionVersion(ctx context.Context, id int64) (StoredAction, error) {
	a, err := scanAction(q.row(ctx, `SELECT id, definition FROM action WHERE id = $1`, id))
	return a, wrap(err, "load version %d of an action", id)
}

// Actions returns the installed actions by ref, those of one pack if pack is not "".
func (q *Queries) Actions(ctx context.Context, pack string) ([]StoredAction, error) {
	actions, err := collect(ctx, q, scanAction, `
		SELECT id, definition FROM action
		WHERE installed AND ($1 = '' OR pack_ref = $1) ORDER BY ref`, pack)
	return actions, wrap(err, "list actions")
}

// Prune removes at most limit retired actions that no execution refers to, and archives that nothing refers to,
// both older than age, so that a submission between its steps loses nothing. It returns how many rows went. What a row
// itself must be is said twice: PostgreSQL checks the outer condition again on a row that changed while it waited for it.
func (q *Queries) Prune(ctx context.Context, age time.Duration, limit int) (int64, error) {
	actions, err := q.exec(ctx, `
		DELETE FROM action WHERE NOT installed AND created_at < {now} - $1 AND id IN (
			SELECT a.id FROM action a
			WHERE NOT a.installed AND a.created_at < {now} - $1
				AND NOT EXISTS (SELECT 1 FROM execution e WHERE e.action_id = a.id)
			LIMIT $2)`, age.Microseconds(), limit)
	if err != nil {
		return 0, wrap(err, "prune actions")
	}
	archives, err := q.exec(ctx, `
		DELETE FROM archive WHERE created_at < {now} - $1 AND digest IN (
			SELECT r.digest FROM archive r
			WHERE r.created_at < {now} - $1
				AND NOT EXISTS (SELECT 1 FROM action a WHERE a.digest = r.digest)
				AND NOT EXISTS (SELECT 1 FROM pack p WHERE p.digest = r.digest)
			LIMIT $2)`, age.Microseconds(), limit)
	return actions + archives, wrap(err, "prune archives")
}

// wrap says what was being done when err happened; nil stays nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
