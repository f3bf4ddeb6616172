package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// open are the paths that need no token: a load balancer has none.
func open(path string) bool { return path == "/healthz" || path == "/readyz" }

// authenticate lets those in who bear a token: that of the server's data directory, or one that was created and has not
// been revoked since. Of a command without a server, the caller is the command's user.
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
		caller, err := a.bearer(r.Context(), token)
		switch {
		case attune.ErrorCode(err) == attune.CodeNoToken:
			unauthorized(w, err.Error())
		case err != nil:
			a.log.Warn("request refused", "doing", "look up a token", "error", err)
			w.Header().Set("Retry-After", fmt.Sprint(retrySeconds))
			_ = writeProblem(w, http.StatusServiceUnavailable, "the database is busy or away: try again") // the client has gone
		default:
			next.ServeHTTP(w, r.WithContext(withPrincipal(r.Context(), caller)))
		}
	})
}

func unauthorized(w http.ResponseWriter, message string) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	_ = writeProblem(w, http.StatusUnauthorized, message) // the client has gone
}

// bearer returns who bears a token.
func (a *API) bearer(ctx context.Context, token string) (principal, error) {
	hash, own := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(a.cfg.Token))
	if subtle.ConstantTimeCompare(hash[:], own[:]) == 1 {
		return principal{name: "local token", role: attune.RoleAdmin}, nil
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
		return attune.Errorf(attune.CodeNoToken, "the token is not known here, or was revoked: the file `token` in the server's data directory "+
			"holds one that is, `attune token create` makes others")
	}
	return newLookup(find, key, none)
}
