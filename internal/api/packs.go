package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/packs"
)

const (
	packTag         = "packs"
	corePack        = "core"
	maxArchiveBytes = 16 << 20
	uploadTime      = 5 * time.Minute
)

func (a *API) registerPacks(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-packs", Method: http.MethodGet, Path: "/api/v1/packs", Tags: []string{packTag},
		Summary: "List the installed packs",
	}, within(attune.RoleViewer)), inTime(a, a.listPacks))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-pack", Method: http.MethodGet, Path: "/api/v1/packs/{ref}", Tags: []string{packTag}, Summary: "Get a pack",
	}, ofPack(attune.RoleViewer)), inTime(a, a.getPack))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "install-pack", Method: http.MethodPost, Path: "/api/v1/packs", Tags: []string{packTag},
		Summary:       "Install a pack, or its next version",
		Description:   "The body is a gzip-compressed tar archive with pack.yaml at its root, of at most 16 MiB.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxArchiveBytes + 1, BodyReadTimeout: uploadTime,
		Errors: []int{http.StatusConflict},
	}, within(attune.RoleAdmin)), inTime(a, a.installPack))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "remove-pack", Method: http.MethodDelete, Path: "/api/v1/packs/{ref}", Tags: []string{packTag},
		Summary: "Remove a pack; what was submitted with it still runs", DefaultStatus: http.StatusNoContent,
		Errors: []int{http.StatusConflict},
	}, ofPack(attune.RoleAdmin)), inTime(a, a.removePack))
}

type packItems struct {
	Items []attune.Pack `json:"items"`
}

type packAnswer struct {
	Body attune.Pack
}

type getPackInput struct {
	IfNoneMatch
	Ref string `path:"ref" doc:"the pack's ref"`
}

type onePack struct {
	Ref string `path:"ref" doc:"the pack's ref"`
}

func (a *API) listPacks(ctx context.Context, in *IfNoneMatch) (*tagged[packItems], error) {
	installed, err := a.cfg.Store.Read().Packs(ctx)
	if err != nil {
		return nil, a.problem(ctx, "list packs", err)
	}
	items := packItems{[]attune.Pack{}}
	for _, each := range installed {
		if who(ctx).reaches(each.Ref) {
			items.Items = append(items.Items, each)
		}
	}
	answer, err := tag(items, *in)
	return answer, a.problem(ctx, "list packs", err)
}

func (a *API) getPack(ctx context.Context, in *getPackInput) (*tagged[attune.Pack], error) {
	p, err := a.cfg.Store.Read().Pack(ctx, in.Ref)
	if err != nil {
		return nil, a.problem(ctx, "get a pack", err)
	}
	answer, err := tag(p, in.IfNoneMatch)
	return answer, a.problem(ctx, "get a pack", err)
}

type installInput struct {
	RawBody []byte `contentType:"application/gzip"`
}

func (a *API) installPack(ctx context.Context, in *installInput) (*packAnswer, error) {
	const doing = "install a pack"
	loaded, archive, err := pack.Load(in.RawBody)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	if loaded.Ref == corePack {
		return nil, a.problem(ctx, doing, attune.Errorf(attune.CodeConflict,
			"the pack core comes with Attune itself: give this one another ref"))
	}
	err = reachAll(ctx, loaded)
	if err == nil {
		err = a.audited(ctx, "pack installed", func(q *store.Queries) (string, error) {
			return fmt.Sprintf("%s %s, %s", loaded.Ref, loaded.Version, loaded.Digest), install(ctx, q, loaded, archive)
		})
	}
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	p, err := a.cfg.Store.Read().Pack(ctx, loaded.Ref)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	return &packAnswer{Body: p}, nil
}

// reachAll refuses a pack that the caller does not reach, and one whose actions would start others for it.
func reachAll(ctx context.Context, p *pack.Pack) error {
	err := reach(ctx, p.Ref)
	for _, action := range p.Actions {
		for _, ref := range action.MayStart {
			if err == nil {
				err = reach(ctx, attune.Ref(ref).Pack())
			}
		}
	}
	return err
}

// install stores a pack with its archive and actions, as a whole or not at all.
func install(ctx context.Context, q *store.Queries, p *pack.Pack, archive []byte) error {
	if err := q.PutArchive(ctx, p.Digest, archive); err != nil {
		return err
	}
	if err := q.PutPack(ctx, p.Pack); err != nil {
		return err
	}
	if err := q.RetireActions(ctx, p.Ref); err != nil {
		return err
	}
	for _, action := range p.Actions {
		if _, err := q.PutAction(ctx, action, true); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) removePack(ctx context.Context, in *onePack) (*struct{}, error) {
	if in.Ref == corePack {
		return nil, a.problem(ctx, "remove a pack", attune.Errorf(attune.CodeConflict,
			"the pack core comes with Attune itself and stays"))
	}
	err := a.audited(ctx, "pack removed", func(q *store.Queries) (string, error) { return in.Ref, q.DeletePack(ctx, in.Ref) })
	return nil, a.problem(ctx, "remove a pack", err)
}

// EnsureCore installs the core pack that this binary holds, unless it is there already.
func EnsureCore(ctx context.Context, db *store.Store) error {
	files, err := packs.Core()
	if err != nil {
		return fmt.Errorf("core pack: %w", err)
	}
	digest, err := pack.Digest(files)
	if err != nil {
		return fmt.Errorf("core pack: %w", err)
	}
	installed, err := db.Read().Pack(ctx, corePack)
	if err == nil && installed.Digest == digest {
		return nil
	}
	if err != nil && attune.ErrorCode(err) != attune.CodeNotFound {
		return err
	}
	archive, _, err := pack.Archive(files)
	if err != nil {
		return fmt.Errorf("core pack: %w", err)
	}
	loaded, kept, err := pack.Load(archive)
	if err != nil {
		return fmt.Errorf("core pack: %w", err)
	}
	return db.Write(ctx, func(q *store.Queries) error { return install(ctx, q, loaded, kept) })
}
