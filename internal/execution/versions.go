package execution

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// keptVersions is how many versions of actions a process keeps in memory.
const keptVersions = 256

// versions remembers versions of actions by their rows, which never change and whose ids are never used again.
type versions struct {
	kept *lru.Cache[int64, attune.Action]
}

func newVersions() versions {
	kept, err := lru.New[int64, attune.Action](keptVersions)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return versions{kept}
}

// get returns a version of an action; it must not be changed.
func (v versions) get(ctx context.Context, q *store.Queries, id int64) (attune.Action, error) {
	if action, ok := v.kept.Get(id); ok {
		return action, nil
	}
	stored, err := q.ActionVersion(ctx, id)
	if err != nil {
		return attune.Action{}, err
	}
	v.kept.Add(id, stored.Action)
	return stored.Action, nil
}

// ActionOf returns the version of the action that an execution was submitted with; it must not be changed.
func (s *Service) ActionOf(ctx context.Context, row store.ExecutionRow) (attune.Action, error) {
	return s.versions.get(ctx, s.store.Read(), row.ActionID)
}

// GivenSecrets tells whether the attempts of an execution of an action are given keys or secret parameters.
func GivenSecrets(row store.ExecutionRow, a attune.Action) bool {
	return row.Secrets != nil || len(a.Secrets) > 0
}
