package api

import (
	"context"
	"time"

	"github.com/attune-automation/attune/internal/store"
)

// answerTime is how long a request may wait for the database. One that accepts connections and never answers must not
// keep requests, and with them connections, for ever.
const answerTime = 30 * time.Second

// inTime bounds an operation that waits for nothing but the database. What a stream sends afterwards is not bounded.
func inTime[In, Out any](
	a *API, handle func(context.Context, *In) (*Out, error),
) func(context.Context, *In) (*Out, error) {
	return func(ctx context.Context, in *In) (*Out, error) {
		ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
		defer cancel()
		return handle(ctx, in)
	}
}

// row returns the row of an execution in time, for operations that wait longer than inTime lets them.
func (a *API) row(ctx context.Context, id int64) (store.ExecutionRow, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer cancel()
	return a.executions.Do(ctx, id)
}
