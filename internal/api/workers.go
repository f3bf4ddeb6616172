package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
)

const workerTag = "workers"

func (a *API) registerWorkers(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-workers", Method: http.MethodGet, Path: "/api/v1/workers", Tags: []string{workerTag},
		Summary: "List the workers",
	}, within(attune.RoleViewer)), inTime(a, a.listWorkers))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-worker", Method: http.MethodGet, Path: "/api/v1/workers/{worker}", Tags: []string{workerTag},
		Summary: "Get a worker",
	}, within(attune.RoleViewer)), inTime(a, a.getWorker))
	for _, change := range workerChanges {
		huma.Register(operations, needs(huma.Operation{
			OperationID: change.verb + "-worker", Method: http.MethodPost, Path: "/api/v1/workers/{worker}/" + change.verb,
			Tags: []string{workerTag}, Summary: change.summary, Errors: []int{http.StatusConflict},
		}, everywhere(attune.RoleAdmin)), inTime(a, func(ctx context.Context, in *oneWorker) (*workerAnswer, error) {
			return a.changeWorker(ctx, in, change)
		}))
	}
}

// workerChange is a way to steer a worker.
type workerChange struct {
	verb    string
	summary string
	to      func(store.WorkerRow) attune.WorkerStatus
	from    []attune.WorkerStatus
}

var workerChanges = []workerChange{
	{
		verb: "cordon", summary: "Give a worker nothing new, until it is uncordoned",
		to:   func(store.WorkerRow) attune.WorkerStatus { return attune.WorkerCordoned },
		from: []attune.WorkerStatus{attune.WorkerActive, attune.WorkerInactive, attune.WorkerLost},
	},
	{
		verb: "uncordon", summary: "Give a cordoned worker work again",
		to: func(row store.WorkerRow) attune.WorkerStatus {
			if row.Lapsed {
				return attune.WorkerInactive
			}
			return attune.WorkerActive
		},
		from: []attune.WorkerStatus{attune.WorkerCordoned},
	},
	{
		verb: "drain", summary: "Give a worker nothing new, and end it when what it runs has ended",
		to:   func(store.WorkerRow) attune.WorkerStatus { return attune.WorkerDraining },
		from: []attune.WorkerStatus{attune.WorkerActive, attune.WorkerCordoned},
	},
}

type workerList struct {
	Body struct {
		Items []attune.Worker `json:"items"`
	}
}

type oneWorker struct {
	Worker string `path:"worker" doc:"the worker's name or id"`
}

type workerAnswer struct {
	Body attune.Worker
}

func (a *API) listWorkers(ctx context.Context, _ *struct{}) (*workerList, error) {
	rows, err := a.cfg.Store.Read().Workers(ctx)
	if err != nil {
		return nil, a.problem(ctx, "list workers", err)
	}
	answer := &workerList{}
	answer.Body.Items = make([]attune.Worker, len(rows))
	for i, row := range rows {
		answer.Body.Items[i] = row.Worker
	}
	return answer, nil
}

func (a *API) getWorker(ctx context.Context, in *oneWorker) (*workerAnswer, error) {
	row, err := findWorker(ctx, a.cfg.Store.Read(), in.Worker)
	if err != nil {
		return nil, a.problem(ctx, "get a worker", err)
	}
	return &workerAnswer{Body: row.Worker}, nil
}

// findWorker returns the worker of this name, else of this id: a name may be all digits.
func findWorker(ctx context.Context, q *store.Queries, nameOrID string) (store.WorkerRow, error) {
	row, err := q.WorkerByName(ctx, nameOrID)
	id, notID := strconv.ParseInt(nameOrID, 10, 64)
	if attune.ErrorCode(err) == attune.CodeNotFound && notID == nil {
		return q.Worker(ctx, id)
	}
	return row, err
}

func (a *API) changeWorker(ctx context.Context, in *oneWorker, change workerChange) (*workerAnswer, error) {
	answer := &workerAnswer{}
	err := a.audited(ctx, "worker "+change.verb+"ed", func(q *store.Queries) (subject string, err error) {
		row, err := findWorker(ctx, q, in.Worker)
		if err != nil {
			return "", err
		}
		if to := change.to(row); row.Status != to {
			changed, err := q.SetWorkerStatus(ctx, row.ID, to, change.from...)
			if err != nil {
				return "", err
			}
			subject = row.Name
			if !changed {
				return "", attune.Errorf(attune.CodeConflict, "worker %s is %s: %s is for workers that are %s",
					row.Name, row.Status, change.verb, statuses(change.from))
			}
		}
		row, err = q.Worker(ctx, row.ID)
		answer.Body = row.Worker
		return subject, err
	})
	if err != nil {
		return nil, a.problem(ctx, change.verb+" a worker", err)
	}
	return answer, nil
}

func statuses(all []attune.WorkerStatus) string {
	text := string(all[0])
	for _, status := range all[1:] {
		text += " or " + string(status)
	}
	return text
}
