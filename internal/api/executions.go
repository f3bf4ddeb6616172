package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
	"github.com/attune-automation/attune/internal/store"
)

const executionTag = "executions"

// ExecutionPath is the path of an execution. It is exported because huma reads embedded structs only then.
type ExecutionPath struct {
	ID int64 `path:"id" minimum:"1" doc:"the execution's id"`
}

// executionAnswer holds an execution.
type executionAnswer struct {
	Body attune.Execution
}

func (a *API) registerExecutions(operations huma.API) {
	huma.Register(operations, needs(huma.Operation{
		OperationID: "list-executions", Method: http.MethodGet, Path: "/api/v1/executions", Tags: []string{executionTag},
		Summary: "List executions, the newest first",
		Description: "Items are without what may be large: the execution itself has its parameters and result. A list looks " +
			"at 10,000 executions at most, one by one, when it has text or several filters: then it may be incomplete, and " +
			"next_cursor goes on where it has stopped.",
	}, within(attune.RoleViewer)), inTime(a, a.listExecutions))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "get-execution", Method: http.MethodGet, Path: "/api/v1/executions/{id}", Tags: []string{executionTag},
		Summary:     "Get an execution",
		Description: "With wait, the answer comes when the execution has ended, or as it is when that time is over.",
	}, ofExecution(attune.RoleViewer).forExecutions(family())), a.getExecution)
	huma.Register(operations, needs(huma.Operation{
		OperationID: "cancel-execution", Method: http.MethodPost, Path: "/api/v1/executions/{id}/cancel",
		Tags: []string{executionTag}, Summary: "End an execution",
		Description: "One that has not begun is cancelled at once; of one that runs, the worker ends every process. Asking again until it has ended is harmless.",
		Errors:      []int{http.StatusConflict},
	}, ofExecution(attune.RoleOperator).forExecutions(itsKids())), inTime(a, a.cancelExecution))
	huma.Register(operations, needs(huma.Operation{
		OperationID: "delete-execution", Method: http.MethodDelete, Path: "/api/v1/executions/{id}", Tags: []string{executionTag},
		Summary: "Delete an execution that has ended, with its artifacts", DefaultStatus: http.StatusNoContent,
		Errors: []int{http.StatusConflict},
	}, ofExecution(attune.RoleAdmin)), inTime(a, a.deleteExecution))
}

type listExecutionsInput struct {
	Status []string `query:"status,explode" enum:"requested,scheduled,running,canceling,completed,failed,timeout,cancelled,abandoned" doc:"only these"`
	Action string   `query:"action" doc:"only of this action"`
	Pack   string   `query:"pack" doc:"only of this pack"`
	Worker string   `query:"worker" doc:"only on the worker of this name"`
	Parent int64    `query:"parent" minimum:"1" doc:"only what this execution has started"`
	Since  string   `query:"since" format:"date-time" example:"2026-01-31T08:00:00Z" doc:"only created then or later"`
	Until  string   `query:"until" format:"date-time" doc:"only created before"`
	Text   string   `query:"text" maxLength:"200" doc:"only with this in the action's ref, the worker's name or the error's message, A to Z in either case, or with this id"`
	Limit  int      `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"at most so many"`
	Cursor string   `query:"cursor" pattern:"^[1-9][0-9]{0,18}$" doc:"next_cursor of the page before"`
}

type executionPage struct {
	Body struct {
		Items      []attune.ExecutionSummary `json:"items"`
		NextCursor *string                   `json:"next_cursor" doc:"null after the last page"`
		Incomplete bool                      `json:"incomplete,omitempty" doc:"fewer than limit, although more may follow: 10,000 were looked at"`
	}
}

func (in *listExecutionsInput) filter(packs []string) (store.Filter, error) {
	filter := store.Filter{Action: attune.Ref(in.Action), Pack: in.Pack, Packs: packs, Worker: in.Worker, Parent: in.Parent, Text: in.Text, Limit: in.Limit}
	for _, status := range in.Status {
		filter.Statuses = append(filter.Statuses, attune.Status(status))
	}
	var err error
	if filter.Before, err = parseCursor(in.Cursor); err != nil {
		return filter, err
	}
	if filter.Since, err = parseTime("query.since", in.Since); err != nil {
		return filter, err
	}
	filter.Until, err = parseTime("query.until", in.Until)
	return filter, err
}

// cursor is where the next page of a list begins: below an id.
func cursor(id int64) *string {
	text := strconv.FormatInt(id, 10)
	return &text
}

// parseCursor reads a cursor that may be left out, for the newest.
func parseCursor(text string) (below int64, err error) {
	if text == "" {
		return 0, nil
	}
	if below, err = strconv.ParseInt(text, 10, 64); err != nil {
		return 0, invalidField("query.cursor", "not a cursor that a list has given")
	}
	return below, nil
}

// parseTime reads a time that may be left out.
func parseTime(place, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, invalidField(place, "write a time as RFC 3339 has it: 2026-01-31T08:00:00Z")
	}
	return at, nil
}

func (a *API) listExecutions(ctx context.Context, in *listExecutionsInput) (*executionPage, error) {
	filter, err := in.filter(who(ctx).packs)
	if err != nil {
		return nil, a.problem(ctx, "list executions", err)
	}
	found, err := a.cfg.Store.Read().Executions(ctx, filter)
	if err != nil {
		return nil, a.problem(ctx, "list executions", err)
	}
	views, err := a.views(ctx, found.Rows)
	if err != nil {
		return nil, a.problem(ctx, "list executions", err)
	}
	page := &executionPage{}
	page.Body.Items, page.Body.Incomplete = make([]attune.ExecutionSummary, len(views)), found.Partial
	for i, view := range views {
		page.Body.Items[i] = view.Summary()
	}
	if found.Next > 0 {
		page.Body.NextCursor = cursor(found.Next)
	}
	return page, nil
}

// views are executions as clients see them, with what they wait for.
func (a *API) views(ctx context.Context, rows []store.ExecutionRow) ([]attune.Execution, error) {
	return a.viewsBy(ctx, rows, 0)
}

// viewsBy tells what they wait for from workers as they were at most age ago.
func (a *API) viewsBy(ctx context.Context, rows []store.ExecutionRow, age time.Duration) ([]attune.Execution, error) {
	views := make([]attune.Execution, len(rows))
	var workers []store.WorkerRow
	var now time.Time
	for i, row := range rows {
		if row.Status == attune.StatusRequested && now.IsZero() {
			var err error
			if workers, now, err = a.fleet.recent(ctx, a.cfg.Store, age); err != nil {
				return nil, err
			}
		}
		views[i] = row.Execution
		views[i].WaitingFor = execution.WaitingFor(row, workers, now)
	}
	return views, nil
}

// view answers with one execution.
func (a *API) view(ctx context.Context, row store.ExecutionRow) (*executionAnswer, error) {
	views, err := a.views(ctx, []store.ExecutionRow{row})
	if err != nil {
		return nil, err
	}
	return &executionAnswer{Body: views[0]}, nil
}

type getExecutionInput struct {
	ExecutionPath
	Wait string `query:"wait" pattern:"^[0-9]{1,3}s$" example:"30s" doc:"wait so long for its end, at most 60s"`
}

const maxWait = time.Minute

func (a *API) getExecution(ctx context.Context, in *getExecutionInput) (*executionAnswer, error) {
	const doing = "get an execution"
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	row, err := a.awaitEnd(waiting, in.ID)
	if errors.Is(err, context.DeadlineExceeded) && waiting.Err() != nil && ctx.Err() == nil {
		row, err = a.row(ctx, in.ID)
	}
	if err != nil {
		return nil, a.problem(ctx, doing, err)
	}
	viewing, stop := context.WithTimeout(ctx, a.cfg.AnswerTime)
	defer stop()
	answer, err := a.view(viewing, row)
	return answer, a.problem(ctx, doing, err)
}

func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait > maxWait {
		return 0, invalidField("query.wait", "write seconds, at most 60s")
	}
	return wait, nil
}

func (a *API) cancelExecution(ctx context.Context, in *ExecutionPath) (*executionAnswer, error) {
	row, err := a.cfg.Executions.Cancel(ctx, in.ID, who(ctx).name)
	if err != nil {
		return nil, a.problem(ctx, "cancel an execution", err)
	}
	answer, err := a.view(ctx, row)
	return answer, a.problem(ctx, "cancel an execution", err)
}
