package api

import (
	"context"
	"sync"
	"time"

	"github.com/attune-automation/attune"
)

// recheckTime is how often it is looked whether the token of a request that lasts still lets in.
const recheckTime = 5 * time.Second

// vigil looks, as long as a request lasts, whether its token still lets in, and breaks it off when it does not: a stream
// would otherwise go on for as long as its reader likes. A database that is away ends nothing, as it lets nobody in.
type vigil struct {
	token string
	again time.Duration
	end   context.CancelCauseFunc

	mu    sync.Mutex
	over  bool
	timer *time.Timer
}

// keepVigil returns a context that ends, with the reason as its cause, when the token no longer lets in. stop is called when
// the request is over.
func (a *API) keepVigil(ctx context.Context, token string) (watched context.Context, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	v := &vigil{token: token, again: a.cfg.RecheckTime, end: end}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timer = time.AfterFunc(v.again, func() { v.look(ctx, a) })
	return ctx, v.stop
}

func (v *vigil) look(ctx context.Context, a *API) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return
	}
	if _, err := a.bearer(ctx, v.token); attune.ErrorCode(err) == attune.CodeNoToken {
		v.end(err)
		return
	}
	v.timer.Reset(v.again)
}

// stop returns when nobody looks any more.
func (v *vigil) stop() {
	v.end(nil)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	v.timer.Stop()
}
