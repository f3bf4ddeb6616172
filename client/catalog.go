package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/attune-automation/attune"
)

// Actions lists the installed actions, of one pack if pack is not "".
func (c *Client) Actions(ctx context.Context, pack string) ([]attune.Action, error) {
	query := url.Values{}
	if pack != "" {
		query.Set("pack", pack)
	}
	return list[attune.Action](ctx, c, "/actions", query)
}

// Action returns one installed action.
func (c *Client) Action(ctx context.Context, ref attune.Ref) (attune.Action, error) {
	return get[attune.Action](ctx, c, "/actions/"+url.PathEscape(string(ref)), nil)
}

// Packs lists the installed packs.
func (c *Client) Packs(ctx context.Context) ([]attune.Pack, error) {
	return list[attune.Pack](ctx, c, "/packs", nil)
}

// Pack returns one installed pack.
func (c *Client) Pack(ctx context.Context, ref string) (attune.Pack, error) {
	return get[attune.Pack](ctx, c, "/packs/"+url.PathEscape(ref), nil)
}

// InstallPack installs a pack, or its next version, from a gzip-compressed tar archive. One that is an io.Seeker is sent again
// from its start to a server that is busy.
func (c *Client) InstallPack(ctx context.Context, archive io.Reader) (p attune.Pack, err error) {
	k := call{method: http.MethodPost, path: "/packs", raw: archive, twice: true, header: http.Header{"Content-Type": {"application/gzip"}}}
	return p, c.do(ctx, k, &p)
}

// RemovePack takes a pack and its actions out of use. What was submitted with them still runs.
func (c *Client) RemovePack(ctx context.Context, ref string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/packs/" + url.PathEscape(ref)}, nil)
}

// Workers lists the workers.
func (c *Client) Workers(ctx context.Context) ([]attune.Worker, error) {
	return list[attune.Worker](ctx, c, "/workers", nil)
}

// Worker returns one worker by its name or id.
func (c *Client) Worker(ctx context.Context, nameOrID string) (attune.Worker, error) {
	return get[attune.Worker](ctx, c, "/workers/"+url.PathEscape(nameOrID), nil)
}

// SetWorker steers a worker: verb is cordon, uncordon or drain.
func (c *Client) SetWorker(ctx context.Context, nameOrID, verb string) (attune.Worker, error) {
	return post[attune.Worker](ctx, c, "/workers/"+url.PathEscape(nameOrID)+"/"+url.PathEscape(verb))
}

// Version returns the server's version.
func (c *Client) Version(ctx context.Context) (string, error) {
	v, err := get[struct {
		Version string `json:"version"`
	}](ctx, c, "/version", nil)
	return v.Version, err
}
