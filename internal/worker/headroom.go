package worker

import (
	"context"
	"slices"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

// watchHost looks now and then what the host is short of, until ctx ends. What runs already runs on.
func (w *Worker) watchHost(ctx context.Context) error {
	every(ctx, poll, func() { w.lookAtHost(ctx, w.tellShort) })
	return nil
}

// lookAtHost notes what the host is short of, when tell has told of it; if it could not, the next look does.
func (w *Worker) lookAtHost(ctx context.Context, tell func(context.Context, []attune.Shortage) error) {
	before := w.short()
	now, err := w.cfg.MinFree.Shortages([]string{w.cfg.Home.dir, w.deps.Artifacts.Dir()}, before)
	if err == nil {
		w.failing.host.Over("what is free on this host is known again")
	} else {
		w.failing.host.Warn("can't tell what is free on this host", err)
	}
	if slices.EqualFunc(before, now, attune.Shortage.Same) {
		return
	}
	if err := tell(ctx, now); err != nil {
		if ctx.Err() == nil {
			w.failing.short.Warn("what this host is short of is not stored, it is repeated", err)
		}
		return
	}
	w.failing.short.Over("what this host is short of is stored again")
	w.shortOf.Store(&now)
	if len(now) == 0 {
		w.log.Info("this host has room again: taking executions")
	}
	for _, s := range now {
		w.log.Warn("taking nothing new: this host is short", "of", s.Resource, "where", s.Where, "free", s.Free, "worker.min_free", s.Least)
	}
}

// short is what the host is short of, as the row says.
func (w *Worker) short() []attune.Shortage {
	if s := w.shortOf.Load(); s != nil {
		return *s
	}
	return nil
}

func (w *Worker) tellShort(ctx context.Context, now []attune.Shortage) error {
	ctx, cancel := context.WithTimeout(ctx, store.LoopPatience)
	defer cancel()
	return w.deps.Store.Single(ctx, func(q *store.Queries) error { return q.SetShortOf(ctx, w.id, w.incarnation, now) })
}
