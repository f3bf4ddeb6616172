package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/runtime"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

// secrets are what an attempt is given and nobody may see.
type secrets struct {
	parameters json.RawMessage   // all of them, the secret ones in clear
	keys       map[string][]byte // by name
	values     [][]byte          // of everything that is to be masked
	token      string            // for the API, which ends with the attempt; "" if there is none
	notes      []string          // for the attempt's log
}

// secretsOf decrypts what an attempt was promised. If any of it can't be had, the attempt must not run.
func (w *Worker) secretsOf(ctx context.Context, a execution.Assignment) (*secrets, error) {
	s := &secrets{parameters: a.Parameters}
	if a.Secrets != nil {
		if err := s.openParameters(w.deps.Keys, a); err != nil {
			return nil, err
		}
	}
	if len(a.Action.Secrets) == 0 {
		return s, nil
	}
	rows, err := w.keysOf(ctx, a.Action)
	if err != nil {
		return nil, err
	}
	s.keys = map[string][]byte{}
	total := 0
	for _, name := range a.Action.Secrets {
		row, ok := nearest(rows, name)
		if !ok {
			return nil, runtime.Setupf("the key %s, which %s needs, is not set: `attune key set %s` sets it for all actions, "+
				"with --pack %s for its pack alone", name, a.Action.Ref, name, a.Action.Ref.Pack())
		}
		value, err := w.deps.Keys.Open(secret.OfKey(row.KeyID), row.Sealed)
		if err != nil {
			return nil, runtime.Setupf("the key %s can't be decrypted: %v", row.KeyID, err)
		}
		if total += len(value); total > attune.MaxSecretBytes {
			return nil, runtime.Setupf("the keys of %s have more than %d bytes together", a.Action.Ref, attune.MaxSecretBytes)
		}
		s.keys[name] = value
		s.mask("key "+name, value)
	}
	return s, nil
}

// nearest returns the key of this name that is closest to an action: its own, its pack's, the system's.
func nearest(rows []store.KeyRow, name string) (store.KeyRow, bool) {
	for _, owner := range []attune.KeyOwner{attune.OwnerAction, attune.OwnerPack, attune.OwnerSystem} {
		i := slices.IndexFunc(rows, func(k store.KeyRow) bool { return k.Name == name && k.Owner == owner })
		if i >= 0 {
			return rows[i], true
		}
	}
	return store.KeyRow{}, false
}

// keysOf loads the encrypted keys of an action. A database that is away is waited for, until ctx ends.
func (w *Worker) keysOf(ctx context.Context, a attune.Action) ([]store.KeyRow, error) {
	for {
		rows, err := w.deps.Store.Read().KeysFor(ctx, a.Ref, a.Secrets)
		if !errors.Is(err, store.ErrUnavailable) {
			return rows, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(jitter(retryPause)):
		}
	}
}

func (s *secrets) openParameters(keys *secret.Safe, a execution.Assignment) error {
	hidden, err := keys.Open(secret.OfParameters(a.Action.Ref), a.Secrets)
	if err != nil {
		return runtime.Setupf("the secret parameters can't be decrypted: %v", err)
	}
	if s.parameters, err = pack.Reveal(a.Parameters, hidden); err != nil {
		return runtime.Setupf("the secret parameters can't be read: %v", err)
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(hidden, &values); err != nil {
		return runtime.Setupf("the secret parameters can't be read: %v", err)
	}
	for name, value := range values {
		var text string
		if json.Unmarshal(value, &text) == nil {
			value = []byte(text)
		}
		s.mask("parameter "+name, value)
	}
	return nil
}

// mask has a value masked in all that the attempt writes, or says that it can't be.
func (s *secrets) mask(what string, value []byte) {
	if !secret.Maskable(value) {
		s.notes = append(s.notes, fmt.Sprintf("attune: the %s is too short to be masked in what the action writes", what))
		return
	}
	s.values = append(s.values, value)
}

// secretsDir is the variable that names where an action finds its keys as files.
const secretsDir = "ATTUNE_SECRETS_DIR"

// environment adds the keys to an action's environment.
func (s *secrets) environment(env map[string]string, dir string, filesAlone bool) {
	if dir == "" {
		return
	}
	env[secretsDir] = dir
	if filesAlone {
		return
	}
	for name, value := range s.keys {
		variable := attune.SecretVariable(name)
		if strings.ContainsRune(string(value), 0) {
			s.notes = append(s.notes, fmt.Sprintf("attune: %s is not set: it holds a NUL; read it from $%s/%s", variable, secretsDir, name))
			continue
		}
		env[variable] = string(value)
	}
}

func (w *Worker) removeSecrets(a execution.Assignment, p *place) {
	if err := w.vault.remove(p.secrets); err != nil {
		w.log.Error("secrets not removed, the next start does it", "execution", a.ID, "error", err)
	}
}
