package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune/internal/store"
)

// backlogAge is for how long a count of what waits is good. Other servers may have submitted meanwhile, so that the
// limit is exceeded by what they take in that time; our own submissions are counted.
const backlogAge = 500 * time.Millisecond

// backlog is how many executions wait, as it was a moment ago. The zero value is ready for use.
type backlog struct {
	mu      sync.Mutex
	at      time.Time
	waiting int // with what was let in since
}

// admit tells whether one more may wait. Counting stops at the limit, and is done at most once in backlogAge.
func (b *backlog) admit(ctx context.Context, db *store.Store, limit int) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.at) >= backlogAge {
		waiting, err := db.Read().Waiting(ctx, limit)
		if err != nil {
			return false, err
		}
		b.at, b.waiting = time.Now(), waiting
	}
	if b.waiting >= limit {
		return false, nil
	}
	b.waiting++
	return true, nil
}

// room refuses a submission when enough waits already. One that repeats an accepted one, by its key, makes nothing wait.
func (a *API) room(ctx context.Context, key string) error {
	if a.cfg.MaxWaiting == 0 {
		return nil
	}
	admitted, err := a.backlog.admit(ctx, a.cfg.Store, a.cfg.MaxWaiting)
	if err != nil || admitted {
		return err
	}
	if key != "" {
		id, _, err := a.cfg.Store.Read().ByIdempotencyKey(ctx, key)
		if err != nil || id != 0 {
			return err
		}
	}
	full := describe(http.StatusTooManyRequests, fmt.Sprintf(
		"%d executions wait already, which is server.max_waiting: try again when some have begun", a.cfg.MaxWaiting), nil)
	return huma.ErrorWithHeaders(full, http.Header{"Retry-After": {strconv.Itoa(retrySeconds)}})
}
