package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// Filter selects executions; zero fields select all.
type Filter struct {
	Statuses []attune.Status
	Action   attune.Ref
	Pack     string
	Packs    []string // only of these; nil: of all
	Worker   string
	Parent   int64     // only what this execution has started; 0 for all
	Since    time.Time // created then or later
	Until    time.Time // created before
	Text     string    // in the action's ref, the worker's name or the error's message, A to Z in either case; or the id
	Before   int64     // only ids below; 0 for the newest
	Limit    int
	Look     int // at so many one by one, at most; 0 is MaxLooked
}

// Listed is a part of a list, newest first.
type Listed struct {
	Rows    []ExecutionRow // without Parameters, Env, Context, Secrets, Result and Processes
	Next    int64          // Filter.Before of the next part; 0 after the last one
	Partial bool           // Filter.Look executions were looked at, and fewer than Limit found
}

// MaxLooked bounds what one list looks at that has to look at rows one by one: those that an index finds by one of the
// filters, to see whether they fit the others. What it has not come to is for the next part.
const MaxLooked = 10_000

// disorder is by how much of a later id an execution may have been created earlier. A statement has its time when it
// begins and takes its ids while it runs, for 30 s at most (statement_timeout). Only a clock that was set back breaks
// this: then what was created near the ends of a time range while it was wrong may be missing from it.
const disorder = 30 * time.Second

// ids are those above one and below the other.
type ids struct{ above, below int64 }

// Executions returns the newest executions that the filter selects. It reads them by the index of one of the filters, in
// the order of ids, and by ids that follow from the times, so that it costs the same however many there are.
func (q *Queries) Executions(ctx context.Context, f Filter) (found Listed, err error) {
	if f.Packs != nil && (len(f.Packs) == 0 || f.Pack != "" && !slices.Contains(f.Packs, f.Pack)) {
		return found, nil
	}
	within := ids{0, cmp.Or(f.Before, math.MaxInt64)}
	if !f.Since.IsZero() || !f.Until.IsZero() {
		if within, err = q.idsOf(ctx, within, f.Since, f.Until); err != nil {
			return found, err
		}
	}
	by, others := f.lead()
	floor := int64(0)
	if others != nil {
		if floor, err = q.floor(ctx, by, within, cmp.Or(f.Look, MaxLooked)); err != nil {
			return found, err
		}
		within.above = max(within.above, floor)
	}
	if found.Rows, err = q.list(ctx, by, append(others, f.times()...), within, f.Limit+1); err != nil {
		return found, err
	}
	switch {
	case len(found.Rows) > f.Limit: // one more tells whether more follow
		found.Rows = found.Rows[:f.Limit]
		found.Next = found.Rows[f.Limit-1].ID
	case floor > 0:
		found.Next, found.Partial = floor+1, len(found.Rows) < f.Limit
	}
	return found, nil
}

// Waiting counts the executions that wait, up to limit.
func (q *Queries) Waiting(ctx context.Context, limit int) (n int, err error) {
	err = q.row(ctx, `SELECT count(*) FROM (SELECT id FROM execution WHERE status = 'requested' LIMIT $1) AS waiting`, limit).Scan(&n)
	return n, wrap(err, "count what waits")
}

// condition is a part of WHERE, with $? for each of its arguments.
type condition struct {
	text string
	args []any
}

// lead is what a list is read by: an indexed column, with the values of which any is wanted.
type lead struct {
	column string // "" for the ids alone
	index  string // of the column and id
	values []any
}

// only is the condition that the column has a value, and the id is between two: the ends of a scan of the index of both.
//
// SQLite is told the index. PostgreSQL, if it takes a value for a common one, would read all rows by id until it has found
// enough of it. So its order is one of column and id, and stays that because the value is one of an array. And pairs of both,
// which bound nothing that is not bounded already, have it expect that little is left: a ninth for each two, whatever the values,
// and so also when a statement came often enough to be planned for any. Pairs alone would not do, they stop a scan only where the
// column ends.
func (l lead) only(value, above, below string) string {
	array := "TEXT[]"
	if l.column == "parent_id" {
		array = "BIGINT[]"
	}
	const pairs = " AND (COLUMN, id) > (VALUE, 0) AND (COLUMN, id) < (VALUE, BELOW)"
	const where = "{sqlite} COLUMN = VALUE {/sqlite} {postgres} COLUMN = ANY (CAST(ARRAY[VALUE] AS ARRAYTYPE))" + pairs + pairs + pairs +
		" {/postgres} AND id > ABOVE AND id < BELOW"
	return strings.NewReplacer("COLUMN", l.column, "VALUE", value, "ARRAYTYPE", array, "ABOVE", above, "BELOW", below).Replace(where)
}

// lead returns what to read by, and what else the rows must fit. Fewest are those of an action or a worker, as a rule.
func (f Filter) lead() (by lead, others []condition) {
	statuses := make([]any, len(f.Statuses))
	for i, s := range f.Statuses {
		statuses[i] = string(s)
	}
	packs := some(f.Pack)
	if packs == nil {
		for _, pack := range slices.Compact(slices.Sorted(slices.Values(f.Packs))) {
			packs = append(packs, pack)
		}
	}
	var parents []any // few have many children: it is always first
	if f.Parent != 0 {
		parents = []any{f.Parent}
	}
	slices.SortFunc(statuses, func(x, y any) int { return cmp.Compare(x.(string), y.(string)) }) //nolint:errcheck,forcetypeassert // they are, above
	// The others are written so that no index serves them: it would bring all of its rows, to be sorted.
	for _, one := range []lead{
		{"parent_id", "execution_by_parent", parents}, {"action_ref", "execution_by_action", some(string(f.Action))}, {"worker_name", "execution_by_worker", some(f.Worker)},
		{"status", "execution_by_status", slices.Compact(statuses)}, {"{pack}", "execution_by_pack", packs},
	} {
		switch {
		case len(one.values) == 0:
		case by.column == "":
			by = one
		default:
			marks := strings.TrimSuffix(strings.Repeat("$?, ", len(one.values)), ", ")
			others = append(others, condition{one.column + " || '' IN (" + marks + ")", one.values})
		}
	}
	if f.Text != "" {
		others = append(others, f.textCondition())
	}
	return by, others
}

func some(value string) []any {
	if value == "" {
		return nil
	}
	return []any{value}
}

// textCondition has letters beyond ASCII as they are: the databases don't agree on their cases.
func (f Filter) textCondition() condition {
	pattern := "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(asciiLower(f.Text)) + "%"
	c := condition{args: []any{pattern, pattern, pattern}}
	var places []string
	for _, column := range []string{"action_ref", "worker_name", "error_message"} {
		places = append(places, "lower("+column+" {ascii}) LIKE $? ESCAPE '!'")
	}
	if id, err := strconv.ParseInt(f.Text, 10, 64); err == nil {
		places, c.args = append(places, "id = $?"), append(c.args, id)
	}
	c.text = "(" + strings.Join(places, " OR ") + ")"
	return c
}

func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// times are the exact ones; idsOf has left little that does not fit them. An index of times, which a sum keeps out, would
// bring rows in another order.
func (f Filter) times() (all []condition) {
	if !f.Since.IsZero() {
		all = append(all, condition{"created_at + 0 >= $?", []any{ceilMicros(f.Since)}})
	}
	if !f.Until.IsZero() {
		all = append(all, condition{"created_at + 0 < $?", []any{ceilMicros(f.Until)}})
	}
	return all
}

// ceilMicros rounds up, so that comparisons with whole microseconds come out as with the time itself.
func ceilMicros(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }

// idsOf narrows ids to those that executions created in a range of time may have: those after the last one that is
// older by disorder, and before the first one that is as much younger.
func (q *Queries) idsOf(ctx context.Context, within ids, since, until time.Time) (ids, error) {
	first, last := int64(math.MinInt64), int64(math.MaxInt64)
	if !since.IsZero() {
		first = since.Add(-disorder).UnixMicro()
	}
	if !until.IsZero() {
		last = until.Add(disorder).UnixMicro()
	}
	var above, below sql.NullInt64
	err := q.row(ctx, `SELECT (SELECT id FROM execution WHERE created_at < $1 ORDER BY created_at DESC, id DESC LIMIT 1),
		(SELECT id FROM execution WHERE created_at > $2 ORDER BY created_at, id LIMIT 1)`, first, last).Scan(&above, &below)
	if above.Valid {
		within.above = max(within.above, above.Int64)
	}
	if below.Valid {
		within.below = min(within.below, below.Int64)
	}
	return within, wrap(err, "find the executions of a time")
}

// selection writes a SELECT of the newest executions that a list is read by.
func selection(columns string, by lead, others []condition, within ids, limit, offset int) (string, []any) {
	var args []any
	mark := func(value any) string {
		args = append(args, value)
		return placeholder(len(args))
	}
	parts, from := make([]string, 0, max(1, len(by.values))), ""
	if by.index != "" {
		from = " {sqlite} INDEXED BY " + by.index + " {/sqlite}"
	}
	read := columns
	if len(by.values) > 1 { // most of what is read is then of no use
		read = "id"
	}
	part := func(where, order string) string {
		for _, c := range others {
			text := c.text
			for _, arg := range c.args {
				text = strings.Replace(text, "$?", mark(arg), 1)
			}
			where += " AND " + text
		}
		return "SELECT " + read + " FROM execution" + from + " WHERE " + where + " ORDER BY " + order + " LIMIT " + mark(limit+offset)
	}
	for _, value := range by.values {
		where := by.only(mark(value), mark(within.above), mark(within.below))
		parts = append(parts, part(where, by.column+" DESC, id DESC"))
	}
	if len(parts) == 0 {
		parts = append(parts, part("id > "+mark(within.above)+" AND id < "+mark(within.below), "id DESC"))
	}
	if len(parts) == 1 {
		return parts[0] + " OFFSET " + mark(offset), args
	}
	for i, text := range parts {
		parts[i] = "SELECT * FROM (" + text + ") AS part" + strconv.Itoa(i)
	}
	return "SELECT " + columns + " FROM execution WHERE id IN (SELECT id FROM (" + strings.Join(parts, " UNION ALL ") +
		") AS parts ORDER BY id DESC LIMIT " + mark(limit) + " OFFSET " + mark(offset) + ") ORDER BY id DESC", args
}

// floor returns the id at which a list ends that has looked at so many rows, 0 if there are no more than that.
func (q *Queries) floor(ctx context.Context, by lead, within ids, look int) (id int64, err error) {
	query, args := selection("id", by, nil, within, 1, look)
	err = q.row(ctx, query, args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, wrap(err, "find where a list ends")
}

// listedColumns are executionColumns without what may be large.
var listedColumns = strings.Replace(executionColumns, "processes, parameters, secrets, env, context, result",
	"NULL AS processes, NULL AS parameters, NULL AS secrets, NULL AS env, NULL AS context, NULL AS result", 1)

func (q *Queries) list(ctx context.Context, by lead, others []condition, within ids, limit int) ([]ExecutionRow, error) {
	query, args := selection(listedColumns, by, others, within, limit, 0)
	rows, err := collect(ctx, q, scanExecution, query, args...)
	return rows, wrap(err, "list executions")
}
