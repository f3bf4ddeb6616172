package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/secret"
	"github.com/attune-automation/attune/internal/store"
)

// open are the paths that need no token: a load balancer has none.
func open(path string) bool { return path == "/healthz" || path == "/readyz" }

// authenticate lets those in who bear a token: that of the server's data directory, or one that was created and has not
// been revoked since, or that of an attempt which runs. Of a command without a server, the caller is the command's user.
func (a *API) authenticate(next http.Handler) http.Handler {
	if a.cfg.Token == "" {
		caller := local()
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(withPrincipal(r.Context(), caller)))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
			unauthorized(w, "a token is needed: the file `token` in the server's data directory holds one, `attune token create` makes others "+
				"(ATTUNE_TOKEN or --token-file)")
			return
		}
		a.letIn(w, r, token, next)
	})
}

// letIn serves a request that bears a token, if it is good for that.
func (a *API) letIn(w http.ResponseWriter, r *http.Request, token string, next http.Handler) {
	hash, from := sha256.Sum256([]byte(token)), a.gate.address(r)
	if a.barred(w, hash, from) {
		return
	}
	caller, err := a.bearer(r.Context(), token)
	switch {
	case attune.ErrorCode(err) == attune.CodeNoToken:
		a.gate.refused(hash, from, err)
		unauthorized(w, err.Error())
		return
	case err != nil:
		a.log.Warn("request refused", "doing", "look up a token", "error", err)
		w.Header().Set("Retry-After", fmt.Sprint(retrySeconds))
		_ = writeProblem(w, http.StatusServiceUnavailable, "the database is busy or away: try again") // the client has gone
		return
	}
	a.gate.tokens.of(hash) // is known from now on
	ctx := withPrincipal(r.Context(), caller)
	if caller.name != localActor { // which lasts as long as the process
		var stop func()
		ctx, stop = a.keepVigil(ctx, token)
		defer stop()
	}
	next.ServeHTTP(w, r.WithContext(ctx))
}

// localActor is what the audit log calls the bearer of the token in the data directory.
const localActor = "local token"

func unauthorized(w http.ResponseWriter, message string) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	_ = writeProblem(w, http.StatusUnauthorized, message) // the client has gone
}

// bearer returns who bears a token.
func (a *API) bearer(ctx context.Context, token string) (principal, error) {
	hash, own := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(a.cfg.Token))
	if subtle.ConstantTimeCompare(hash[:], own[:]) == 1 {
		return principal{name: localActor, role: attune.RoleAdmin}, nil
	}
	if secret.IsAttemptToken(token) {
		return a.attemptBearer(ctx, token)
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	row, err := a.tokens.Do(ctx, hash)
	if err != nil {
		return principal{}, err
	}
	if row.Expired {
		return principal{}, attune.Errorf(attune.CodeNoToken, "the token %s has expired: ask for another one", row.Name)
	}
	if row.Stale {
		if err := a.cfg.Store.Single(ctx, func(q *store.Queries) error { return q.TokenUsed(ctx, row.ID) }); err != nil {
			a.log.Warn("the use of a token is not noted", "token", row.ID, "error", err)
		}
	}
	caller := principal{name: tokenActor(row.Token), role: row.Role}
	if len(row.Packs) > 0 {
		caller.packs = row.Packs
	}
	return caller, nil
}

// attemptBearer returns the execution whose attempt has a token, as long as that attempt runs: the token is worth nothing
// from the moment on at which the row says otherwise.
func (a *API) attemptBearer(ctx context.Context, token string) (principal, error) {
	fence, err := a.cfg.Keys.FenceOf(token)
	if errors.Is(err, secret.ErrNoAttempt) {
		return principal{}, unknownToken("the token is not known here: it is that of no execution")
	}
	if err != nil {
		return principal{}, err
	}
	row, err := a.row(ctx, fence.ExecutionID)
	if attune.ErrorCode(err) == attune.CodeNotFound || err == nil && (row.Fence() != fence || !row.Status.Live()) {
		return principal{}, attune.Errorf(attune.CodeNoToken, "the token is that of attempt %d of execution %d, and it is over", fence.Attempt, fence.ExecutionID)
	}
	return principal{name: executionActor(row), execution: &row}, err
}

// executionActor is what the audit log calls an execution that does something.
func executionActor(row store.ExecutionRow) string {
	return fmt.Sprintf("execution %d (%s)", row.ID, row.Action)
}

// tokenActor is what the audit log calls the bearer of a token.
func tokenActor(t attune.Token) string { return fmt.Sprintf("token %d (%s)", t.ID, t.Name) }

// tokenLookup reads tokens by the hashes of their secret parts, at each request anew: what is revoked lets nobody in.
func tokenLookup(s *store.Store) *lookup[[sha256.Size]byte, store.TokenRow] {
	find := func(ctx context.Context, hashes [][sha256.Size]byte) ([]store.TokenRow, error) {
		var all [][]byte
		for _, hash := range hashes {
			all = append(all, bytes.Clone(hash[:]))
		}
		return s.Read().TokensByHash(ctx, all)
	}
	key := func(t store.TokenRow) (hash [sha256.Size]byte) {
		copy(hash[:], t.Hash)
		return hash
	}
	none := func([sha256.Size]byte) error {
		return unknownToken("the token is not known here, or was revoked: the file `token` in the server's data directory " +
			"holds one that is, `attune token create` makes others")
	}
	return newLookup(find, key, none)
}
