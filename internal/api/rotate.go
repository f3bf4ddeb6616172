package api

import (
	"context"
	"fmt"

	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

// rotateBatch is how many executions' secret parameters are wrapped anew in one transaction.
const rotateBatch = 200

type rotated struct {
	Body struct {
		MasterKey string   `json:"master_key_id" doc:"under which everything is now"`
		Rewrapped int      `json:"rewrapped" doc:"keys and executions' parameters that were under another one"`
		Failed    []string `json:"failed" doc:"what can't be decrypted, and why"`
	}
}

// rotation brings everything under the current master key.
type rotation struct {
	*API
	answer *rotated
}

func (a *API) rotateKeys(ctx context.Context, _ *struct{}) (*rotated, error) {
	r := rotation{a, &rotated{}}
	r.answer.Body.Failed = []string{}
	err := r.run(ctx)
	if err != nil {
		return nil, a.problem(ctx, "rotate keys", err)
	}
	return r.answer, nil
}

func (r rotation) run(ctx context.Context) error {
	keys, err := inTime(r.API, r.list)(ctx, nil) // a database that is away costs no master key
	if err != nil {
		return err
	}
	if r.cfg.RenewKeys && r.cfg.Keys.Renewable() { // else somebody else has put a new one first
		if _, err := r.cfg.Keys.Renew(); err != nil {
			return keyless(err)
		}
	}
	ring, err := r.cfg.Keys.Keyring()
	if err != nil {
		return keyless(err)
	}
	r.answer.Body.MasterKey = ring.Current()
	// Before it begins, and after it: one that is broken off has changed something, too.
	if err := r.note(ctx, "rotation of keys begun"); err != nil {
		return err
	}
	if err := r.keys(ctx, *keys); err != nil {
		return err
	}
	if err := r.parameters(ctx); err != nil {
		return err
	}
	return r.note(ctx, "keys rotated")
}

func (r rotation) note(ctx context.Context, event string) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.AnswerTime)
	defer cancel()
	return r.audited(ctx, event, func(*store.Queries) (string, error) { return "master key " + r.answer.Body.MasterKey, nil })
}

func (r rotation) list(ctx context.Context, _ *struct{}) (*[]store.KeyRow, error) {
	keys, err := r.cfg.Store.Read().Keys(ctx)
	return &keys, err
}

// write is a transaction that waits for the database as long as any answer does: all of them may take longer.
func (r rotation) write(ctx context.Context, do func(context.Context, *store.Queries) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.AnswerTime)
	defer cancel()
	return r.cfg.Store.Write(ctx, func(q *store.Queries) error { return do(ctx, q) })
}

func (r rotation) keys(ctx context.Context, rows []store.KeyRow) error {
	for _, row := range rows {
		sealed, ok := r.rewrap("key "+row.String(), secret.OfKey(row.KeyID), row.Sealed)
		if !ok {
			continue
		}
		under, err := secret.SealedUnder(sealed)
		if err != nil {
			return err
		}
		var stored bool
		err = r.write(ctx, func(ctx context.Context, q *store.Queries) (err error) {
			stored, err = q.RewrapKey(ctx, row, under, sealed)
			return err
		})
		if err != nil {
			return err
		}
		if stored { // else somebody has set it meanwhile, under the current master key
			r.answer.Body.Rewrapped++
		}
	}
	return nil
}

// parameters takes the executions that have secret ones some at a time: there may be many.
func (r rotation) parameters(ctx context.Context) error {
	for after := int64(0); ; {
		some, err := inTime(r.API, func(ctx context.Context, after *int64) (*[]store.SealedParameters, error) {
			some, err := r.cfg.Store.Read().SealedParametersAfter(ctx, *after, rotateBatch)
			return &some, err
		})(ctx, &after)
		if err != nil || len(*some) == 0 {
			return err
		}
		after = (*some)[len(*some)-1].ExecutionID
		anew := r.batch(*some)
		var stored int
		err = r.write(ctx, func(ctx context.Context, q *store.Queries) error {
			stored = 0
			for _, p := range anew {
				changed, err := q.RewrapParameters(ctx, p.was, p.sealed)
				if err != nil {
					return err
				}
				if changed { // else another rotation has done it meanwhile
					stored++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.answer.Body.Rewrapped += stored
	}
}

// rewrapped are an execution's secret parameters, under the current master key.
type rewrapped struct {
	was    store.SealedParameters
	sealed []byte
}

func (r rotation) batch(some []store.SealedParameters) (anew []rewrapped) {
	for _, p := range some {
		sealed, ok := r.rewrap(fmt.Sprintf("parameters of execution %d", p.ExecutionID), secret.OfParameters(p.Action), p.Sealed)
		if ok {
			anew = append(anew, rewrapped{p, sealed})
		}
	}
	return anew
}

// rewrap returns false for what is under the current master key already, and for what can't be decrypted.
func (r rotation) rewrap(what string, of secret.Identity, sealed []byte) ([]byte, bool) {
	if under, err := secret.SealedUnder(sealed); err == nil && under == r.answer.Body.MasterKey {
		return nil, false
	}
	anew, err := r.cfg.Keys.Rewrap(of, sealed)
	if err != nil {
		r.answer.Body.Failed = append(r.answer.Body.Failed, what+": "+err.Error())
		return nil, false
	}
	return anew, true
}
