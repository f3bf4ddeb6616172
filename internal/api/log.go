package api

import (
	"cmp"
	"context"
	"io"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/artifact"
	"github.com/attune-automation/attune/internal/store"
)

type getLogInput struct {
	ExecutionPath
	Stream  string `path:"stream" enum:"stdout,stderr"`
	Offset  int64  `query:"offset" minimum:"0" doc:"bytes to leave out at the beginning"`
	Follow  bool   `query:"follow" doc:"go on until the execution has ended"`
	Attempt int    `query:"attempt" minimum:"1" doc:"of this attempt alone (default: the latest, and with follow those after it)"`
}

func (a *API) getLog(ctx context.Context, in *getLogInput) (*huma.StreamResponse, error) {
	const doing = "read a log"
	row, err := a.row(ctx, in.ID)
	if err == nil && in.Follow {
		row, err = a.await(ctx, in.ID, func(row store.ExecutionRow) bool { return row.Status.Final() || begun(row, in.Attempt) })
	}
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	log, err := a.findLog(ctx, row, in)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	if over(row, log.attempt) || !in.Follow {
		if err := a.ask(ctx, row, &log); err != nil {
			log.close()
			return nil, a.problem(ctx, doing, err)
		}
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		begin(answer)
		a.send(answer, func(w io.Writer) error {
			if !in.Follow {
				defer log.close()
				return log.copy(answer.Context(), w)
			}
			return a.follow(answer.Context(), w, log, in.Attempt != 0)
		})
	}}, nil
}

// begun tells whether an attempt (0: the first or any later one) has begun.
func begun(row store.ExecutionRow, attempt int) bool {
	return row.Status.Live() || row.Attempt > max(1, attempt)
}

// latest is the attempt that has begun last.
func latest(row store.ExecutionRow) int {
	if row.StartedAt == nil && row.Attempt > 1 {
		return row.Attempt - 1 // the next one waits for its turn
	}
	return row.Attempt
}

type getOrderInput struct {
	ExecutionPath
	Attempt int `query:"attempt" minimum:"1" doc:"of this attempt (default: the latest)"`
}

type outputOrder struct {
	Body struct {
		Attempt int                `json:"attempt"`
		Turns   attune.OutputOrder `json:"turns" doc:"bytes of stdout, then of stderr, then of stdout, and so on; empty if it is not known"`
	}
}

func (a *API) getOrder(ctx context.Context, in *getOrderInput) (*outputOrder, error) {
	const doing = "read the order of an output"
	row, err := a.row(ctx, in.ID)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	answer := &outputOrder{}
	answer.Body.Attempt = cmp.Or(in.Attempt, latest(row))
	if err := notBegun(row, answer.Body.Attempt); err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	turns, err := a.cfg.Store.Read().OutputOrder(ctx, in.ID, answer.Body.Attempt)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	answer.Body.Turns = append(attune.OutputOrder{}, turns...) // [], not null
	return answer, nil
}

// findLog returns the log that a request means: that of its attempt, else of the latest one that has begun.
func (a *API) findLog(ctx context.Context, row store.ExecutionRow, in *getLogInput) (attemptLog, error) {
	log := attemptLog{id: row.ID, attempt: cmp.Or(in.Attempt, latest(row)), stream: attune.Stream(in.Stream), offset: in.Offset}
	if err := notBegun(row, log.attempt); err != nil {
		return log, err
	}
	return log, a.locate(ctx, row, &log)
}

// notBegun is the error for an attempt that has not begun, nil for others.
func notBegun(row store.ExecutionRow, attempt int) error {
	if attempt > row.Attempt || attempt == row.Attempt && row.StartedAt == nil {
		return attune.Errorf(attune.CodeNotFound,
			"execution %d has no output: attempt %d has not begun, the execution is %s", row.ID, attempt, row.Status)
	}
	return nil
}

// attempt returns the files of an attempt on a worker.
func (a *API) attempt(worker *string, id int64, attempt int) (*artifact.Attempt, error) {
	if worker == nil {
		return nil, attune.Errorf(attune.CodeNotFound, "execution %d has no files: no worker has had it", id)
	}
	files, err := a.cfg.Artifacts(*worker)
	if err != nil {
		return nil, err
	}
	return files.Attempt(id, attempt), nil
}

// follow writes a log until its attempt has ended, and then those of the attempts that follow, unless only is set.
func (a *API) follow(ctx context.Context, w io.Writer, log attemptLog, only bool) error {
	for {
		row, err := a.followAttempt(ctx, w, log)
		if err != nil || only || row.Attempt == log.attempt {
			return err
		}
		next := log.attempt + 1
		row, err = a.await(ctx, log.id, func(row store.ExecutionRow) bool {
			return row.Status.Final() || row.Attempt > next || row.Status.Live()
		})
		if err != nil || row.Attempt == next && row.StartedAt == nil {
			return err // it ended before that attempt began
		}
		log = attemptLog{id: log.id, attempt: next, stream: log.stream}
		if err := a.locate(ctx, row, &log); err != nil {
			return err
		}
	}
}

// followAttempt writes one attempt's log as it grows, and returns the row as it was when the attempt had ended.
func (a *API) followAttempt(ctx context.Context, w io.Writer, log attemptLog) (row store.ExecutionRow, err error) {
	defer log.close()
	group, ctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		row, err = a.await(ctx, log.id, func(row store.ExecutionRow) bool {
			return row.Status.Final() || row.Attempt > log.attempt
		})
		if err == nil {
			close(done)
		}
		return err
	})
	group.Go(func() error { return a.tail(ctx, w, log, done) })
	return row, group.Wait()
}
