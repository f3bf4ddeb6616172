package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/attune-automation/attune"
)

// TokenRequest says what a new token is for, and what it may do.
type TokenRequest struct {
	Name    string
	Role    attune.Role
	Packs   []string      // only for these; none is everything
	Expires time.Duration // after so long; 0 is never
}

// CreateToken creates a token. Its secret part is in the answer, and nowhere else.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (t attune.NewToken, err error) {
	body := map[string]any{"name": r.Name, "role": r.Role, "expires_seconds": r.Expires.Seconds()}
	if len(r.Packs) > 0 {
		body["packs"] = r.Packs
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/tokens", body: body}, &t)
	return t, err
}

// Tokens lists the tokens, without their secret parts.
func (c *Client) Tokens(ctx context.Context) ([]attune.Token, error) {
	return list[attune.Token](ctx, c, "/tokens", nil)
}

// Caller is who a client is to the server.
type Caller struct {
	Name      string      `json:"name"`      // as the audit log has it
	Role      attune.Role `json:"role"`      // "" for an execution
	Packs     []string    `json:"packs"`     // all that it reaches; none is everything
	Execution *int64      `json:"execution"` // the one that calls with its own token; nil for all others
}

// Caller tells who this client is to the server.
func (c *Client) Caller(ctx context.Context) (Caller, error) {
	return get[Caller](ctx, c, "/caller", nil)
}

// RevokeToken revokes a token: it lets nobody in any more.
func (c *Client) RevokeToken(ctx context.Context, id int64) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/tokens/" + strconv.FormatInt(id, 10)}, nil)
}

// AuditPage is one page of the audit log.
type AuditPage struct {
	Items      []attune.AuditEvent `json:"items"`
	NextCursor string              `json:"next_cursor"` // "" after the last page
}

// Audit reads at most limit events of the audit log, the newest first, from cursor on; limit 0 is the server's default.
func (c *Client) Audit(ctx context.Context, limit int, cursor string) (AuditPage, error) {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	return get[AuditPage](ctx, c, "/audit", query)
}
