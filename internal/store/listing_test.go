package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

var listEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// listed is an execution of a test, as the test knows it.
type listed struct {
	id             int64
	action, status string
	worker, error  string // "" for none
	parent         int64  // 0 for none
	created        time.Time
}

// put stores executions behind the store's back; ids are from 1 on, in their order.
func put(tb testing.TB, raw *sql.DB, actionID int64, all []listed) {
	tb.Helper()
	tx, err := raw.Begin()
	if err != nil {
		tb.Fatal(err)
	}
	for i := range all {
		e := &all[i]
		err := tx.QueryRow(`INSERT INTO execution (action_id, action_ref, status, worker_name, error_kind, error_message, created_at,
			attempt, max_attempts, class, class_key, request_digest, timeout_us, trace, not_before, published_at, parameters, env, context,
			parent_id)
			VALUES ($1, $2, $3, NULLIF($4, ''), NULLIF($5, ''), NULLIF($5, ''), $6, 1, 1, '', '', '', 0, FALSE, 0, 0, $7, $7, $7, NULLIF($8, 0))
			RETURNING id`, actionID, e.action, e.status, e.worker, e.error, e.created.UnixMicro(), []byte(`{"a":1}`), e.parent).Scan(&e.id)
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		tb.Fatal(err)
	}
}

// fits is what the filter means, said once more in Go.
func (e listed) fits(f store.Filter) bool {
	text := strings.ToLower(f.Text)
	return (len(f.Statuses) == 0 || slices.Contains(f.Statuses, attune.Status(e.status))) &&
		(f.Action == "" || string(f.Action) == e.action) && (f.Pack == "" || strings.HasPrefix(e.action, f.Pack+".")) &&
		(f.Packs == nil || slices.Contains(f.Packs, strings.Split(e.action, ".")[0])) && (f.Worker == "" || f.Worker == e.worker) &&
		(f.Parent == 0 || f.Parent == e.parent) && (f.Since.IsZero() || !e.created.Before(f.Since)) && (f.Until.IsZero() || e.created.Before(f.Until)) &&
		(text == "" || strings.Contains(e.action, text) || strings.Contains(e.worker, text) ||
			strings.Contains(strings.ToLower(e.error), text) || fmt.Sprint(e.id) == text)
}

// pages reads a list to its end and returns its ids.
func pages(t *testing.T, s *store.Store, f store.Filter) (found []int64, parts int) {
	t.Helper()
	for {
		part, err := s.Read().Executions(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range part.Rows {
			found = append(found, row.ID)
			if row.Parameters != nil || row.Env != nil || row.Context != nil || row.Result != nil {
				t.Fatalf("a row of a list has more than it needs: %+v", row)
			}
		}
		if parts++; part.Next == 0 {
			return found, parts
		}
		f.Before = part.Next
	}
}

func pick[T any](of ...T) T { return of[rand.IntN(len(of))] }

func TestListsSelectWhatTheirFiltersSay(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		all := make([]listed, 300)
		for i := range all {
			all[i] = listed{
				action: pick("demo.hello", "demo_x.hello", "demo.other", "a.b"), status: pick("requested", "failed", "completed", "running"),
				worker: pick("", "w1", "w_1", "web%"), error: pick("", "Disk FULL", "100% of it", "a_b", `c\d!`),
				parent: pick[int64](0, 0, 1, 2),
				// Ids are not quite in the order of times.
				created: listEpoch.Add(time.Duration(i)*time.Minute - rand.N(29*time.Second)).Truncate(time.Microsecond),
			}
		}
		put(t, db.Raw(t), action.ID, all)
		for range 300 {
			f := store.Filter{
				Action: pick[attune.Ref]("", "", "demo.hello", "none.x"), Pack: pick("", "", "demo", "demo_", "demo_x"),
				Packs:  pick(nil, nil, []string{}, []string{"demo"}, []string{"a", "demo_x", "none"}),
				Worker: pick("", "", "w1", "w_1", "nobody"), Limit: pick(1, 3, 50),
				Parent: pick[int64](0, 0, 0, 1, 2, 999),
				Text:   pick("", "", "full", "%", "_", "!", `\`, "DEMO.", "100", fmt.Sprint(1+rand.IntN(300)), "ü"),
			}
			for range rand.IntN(3) {
				f.Statuses = append(f.Statuses, pick[attune.Status]("requested", "failed", "completed", "abandoned"))
			}
			if rand.IntN(2) == 0 {
				f.Since = pick(all[rand.IntN(len(all))].created, listEpoch.Add(rand.N(6*time.Hour)), time.Unix(0, 0))
			}
			if rand.IntN(2) == 0 {
				f.Until = pick(all[rand.IntN(len(all))].created, listEpoch.Add(rand.N(6*time.Hour)), listEpoch.AddDate(100, 0, 0))
			}
			var want []int64
			for _, e := range slices.Backward(all) {
				if e.fits(f) {
					want = append(want, e.id)
				}
			}
			if got, _ := pages(t, s, f); !cmp.Equal(got, want) {
				t.Errorf("%+v:\n%s", f, cmp.Diff(want, got))
			}
		}
	})
}

func TestListStopsShortAndGoesOn(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s := db.Open(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		const look = 50
		all := make([]listed, 2*look+5)
		for i := range all {
			all[i] = listed{action: "demo.hello", status: "completed", created: listEpoch.Add(time.Duration(i) * time.Second)}
		}
		all[0].error, all[3].status, all[len(all)-1].error = "needle", "failed", "needle"
		put(t, db.Raw(t), action.ID, all)
		for name, f := range map[string]store.Filter{
			"text":             {Text: "needle", Limit: 50, Look: look},
			"several filters":  {Action: "demo.hello", Statuses: []attune.Status{"failed"}, Limit: 50, Look: look},
			"several statuses": {Pack: "demo", Statuses: []attune.Status{"completed", "running"}, Text: "needle", Limit: 50, Look: look},
		} {
			first, err := s.Read().Executions(context.Background(), f)
			if err != nil || !first.Partial || first.Next == 0 {
				t.Errorf("%s: %v %d %v", name, first.Partial, first.Next, err)
			}
			var want []int64
			for _, e := range slices.Backward(all) {
				if e.fits(f) {
					want = append(want, e.id)
				}
			}
			if got, parts := pages(t, s, f); !cmp.Equal(got, want) || parts != 3 {
				t.Errorf("%s: %v in %d parts, want %v", name, got, parts, want)
			}
		}
		// Alone, they find what there is at once.
		for name, f := range map[string]store.Filter{
			"status": {Statuses: []attune.Status{"failed", "running"}, Limit: 50, Look: look}, "time": {Until: all[1].created, Limit: 50, Look: look},
			"text of a time": {Text: "needle", Until: all[2].created, Limit: 50, Look: look},
		} {
			found, err := s.Read().Executions(context.Background(), f)
			if err != nil || len(found.Rows) != 1 || found.Partial || found.Next != 0 {
				t.Errorf("%s: %d %v %d %v", name, len(found.Rows), found.Partial, found.Next, err)
			}
		}
	})
}

// usualLists are those that have to cost the same however many executions there are.
func usualLists(newest int64, since, until time.Time) map[string]store.Filter {
	return map[string]store.Filter{
		"newest":            {},
		"next page":         {Before: newest / 2},
		"status":            {Statuses: []attune.Status{"completed"}},
		"rare status":       {Statuses: []attune.Status{"failed"}},
		"statuses":          {Statuses: []attune.Status{"completed", "failed", "timeout"}},
		"no such status":    {Statuses: []attune.Status{"canceling"}},
		"action":            {Action: "demo.hello"},
		"pack":              {Pack: "rare"},
		"worker":            {Worker: "w2"},
		"next page of pack": {Pack: "demo", Before: newest / 2},
		"since":             {Since: since},
		"until":             {Until: until},
		"since and until":   {Since: since, Until: until},
		"status of a time":  {Statuses: []attune.Status{"failed"}, Since: since, Until: until},
		"status of late":    {Statuses: []attune.Status{"completed"}, Since: listEpoch.Add(time.Duration(newest-20) * time.Second)},
	}
}

// TestListsReadByIndex looks at how the databases mean to run the lists: no step reads or sorts the table.
func TestListsReadByIndex(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		s, raw := db.Open(t), db.Raw(t)
		action := storetest.PutAction(t, s, storetest.Action("demo.hello"))
		put(t, raw, action.ID, manyListed(2_000))
		if _, err := raw.Exec(`ANALYZE`); err != nil {
			t.Fatal(err)
		}
		lists := usualLists(2_000, listEpoch.Add(300*time.Second), listEpoch.Add(600*time.Second))
		lists["text"] = store.Filter{Text: "x"}
		lists["parent"] = store.Filter{Parent: 7}
		lists["parent and status"] = store.Filter{Parent: 7, Statuses: []attune.Status{"failed"}}
		lists["several"] = store.Filter{Action: "demo.hello", Worker: "w1", Statuses: []attune.Status{"failed", "running"}, Pack: "demo"}
		for name, f := range lists {
			f.Limit = 50
			indexed := regexp.MustCompile(indexOf(f))
			for _, plan := range plans(t, db, s, raw, f) {
				if name == "no such status" && strings.Contains(plan, "execution_sent") {
					continue // of what is on its way or being cancelled alone, and so a small one
				}
				if !indexed.MatchString(plan) || regexp.MustCompile(`SCAN execution$|Seq Scan|(?m)^SCAN execution$`).MatchString(plan) ||
					len(f.Statuses) < 2 && regexp.MustCompile(`TEMP B-TREE|Sort`).MatchString(plan) {
					t.Errorf("%s, which should read by %s:\n%s", name, indexed, plan)
				}
				bounded := map[string]*regexp.Regexp{
					"sqlite":   regexp.MustCompile(`=\? AND (row)?id>\? AND (row)?id<\?`),
					"postgres": regexp.MustCompile(`Index Cond: \(\(.* = ANY .* AND \(id > .* AND \(id < `),
				}
				if strings.HasPrefix(indexOf(f), "execution_by") && !bounded[db.Dialect].MatchString(plan) {
					t.Errorf("%s reads its index from end to end:\n%s", name, plan)
				}
			}
		}
	})
}

// indexOf is the index that a list should be read by, as the databases name it in a plan.
func indexOf(f store.Filter) string {
	switch {
	case f.Parent != 0:
		return "execution_by_parent"
	case f.Action != "":
		return "execution_by_action"
	case f.Worker != "":
		return "execution_by_worker"
	case len(f.Statuses) > 0:
		return "execution_by_status"
	case f.Pack != "":
		return "execution_by_pack"
	}
	return "execution_pkey|INTEGER PRIMARY KEY"
}

// plans are those of the statements of a list, but for the one that finds the ids of a time.
func plans(t *testing.T, db storetest.Database, s *store.Store, raw *sql.DB, f store.Filter) (all []string) {
	t.Helper()
	for _, statement := range s.ListStatements(f, 0) {
		if db.Dialect == "sqlite" {
			all = append(all, strings.Join(steps(t, raw, statement.Text), "\n"))
			continue
		}
		all = append(all, explain(t, s, "EXPLAIN ", statement))
	}
	return all
}

// TestListsStopAtTheirEnds counts the pages that PostgreSQL reads: for the newest of a value that most have, with a row on
// each at the worst, and for what is not there, of values that the oldest have, of which an index has some thirty. It does so
// for a statement that is planned with its values, and for one that is planned for any, as it is when it comes often.
func TestListsStopAtTheirEnds(t *testing.T) {
	t.Parallel()
	const executions = 100_000
	db := storetest.Postgres(t)
	s, raw := db.Open(t), db.Raw(t)
	put(t, raw, storetest.PutAction(t, s, storetest.Action("demo.hello")).ID, manyListed(20))
	multiply(t, db, raw, executions)
	for _, test := range []struct {
		above   int64
		most    int
		filters []store.Filter
	}{
		{0, 100, []store.Filter{{}, {Statuses: []attune.Status{"completed"}}, {Action: "demo.hello"}, {Worker: "w1"}, {Pack: "demo"}}},
		{executions / 10, 10, []store.Filter{
			{Statuses: []attune.Status{"failed"}}, {Action: "rare.action"}, {Worker: "w2"}, {Pack: "rare"}, {Action: "rare.action", Worker: "w2"},
		}},
	} {
		for _, f := range test.filters {
			f.Limit = 50
			for _, statement := range s.ListStatements(f, test.above) {
				for _, plan := range []string{explain(t, s, "EXPLAIN (ANALYZE, BUFFERS) ", statement), explainForAny(t, s, statement)} {
					if n := pagesOf(plan); n == 0 || n > test.most {
						t.Errorf("%+v reads %d pages, want at most %d:\n%s", f, n, test.most, plan)
					}
				}
			}
		}
	}
}

// pagesOf is how many pages a plan has read.
func pagesOf(plan string) (total int) {
	for _, digits := range regexp.MustCompile(`\d+`).FindAllString(regexp.MustCompile(`Buffers: .*`).FindString(plan), -1) {
		n, _ := strconv.Atoi(digits) // they are
		total += n
	}
	return total
}

// explainForAny runs a statement by a plan that is not for its values alone.
func explainForAny(t *testing.T, s *store.Store, statement store.Statement) string {
	t.Helper()
	tx, err := s.Reader().Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // it has read
	var values []string
	for _, arg := range statement.Args {
		values = append(values, fmt.Sprintf("'%v'", arg))
	}
	for _, text := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE list AS " + statement.Text} {
		if _, err := tx.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.Query("EXPLAIN (ANALYZE, BUFFERS) EXECUTE list (" + strings.Join(values, ", ") + ")")
	if err != nil {
		t.Fatal(err)
	}
	plan := planOf(t, rows)
	if _, err := tx.Exec("DEALLOCATE list"); err != nil {
		t.Fatal(err)
	}
	return plan
}

// explain returns a plan, as the command wants it.
func explain(t *testing.T, s *store.Store, command string, statement store.Statement) string {
	t.Helper()
	rows, err := s.Reader().Query(command+statement.Text, statement.Args...)
	if err != nil {
		t.Fatal(err)
	}
	return planOf(t, rows)
}

func planOf(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	defer func() { _ = rows.Close() }() // rows.Err below tells what matters
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

// manyListed are executions of a second each, most of which have completed long ago.
func manyListed(n int) []listed {
	all := make([]listed, n)
	for i := range all {
		all[i] = listed{action: "demo.hello", status: "completed", worker: "w1", created: listEpoch.Add(time.Duration(i) * time.Second)}
		if i < n/20 { // old ones, which a look at the newest would take long to find
			all[i].action, all[i].status, all[i].worker, all[i].error = "rare.action", "failed", "w2", "exit status 1"
			all[i].parent = int64(i / 5)
		}
	}
	return all
}
