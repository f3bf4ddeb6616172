package execution_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/broker"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// size is how much waits, and for how many workers.
type size struct{ rows, workers int }

var small, large = size{100, 10}, size{1_000_000, 1_000}

// slots is what each worker of the benchmark has.
const slots = 10

// BenchmarkPlacement places and starts one execution in a small and in a large installation, turn by turn, and reports
// how many times what it costs in the small one it costs in the large one, by the medians.
//
// busy is a backlog for a fleet of which each slot is taken but the one that has just got free. idle is a fleet in which
// every slot is free, beside a backlog of 100 classes that none of its workers suits; what is placed has come last.
func BenchmarkPlacement(b *testing.B) {
	for name, empty := range map[string]func(testing.TB) storetest.Database{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			b.Run("busy", func(b *testing.B) { compare(b, empty, busy) })
			b.Run("idle", func(b *testing.B) { compare(b, empty, idle) })
		})
	}
}

// costs are what a turn took: looking for a free slot where there is none, placing, starting and ending one execution.
type costs struct{ full, place, start, end time.Duration }

type turn func() costs

func compare(b *testing.B, empty func(testing.TB) storetest.Database, scene func(*testing.B, storetest.Database, size) turn) {
	b.Helper()
	inSmall, inLarge := scene(b, empty(b), small), scene(b, empty(b), large)
	for range 20 { // statements are planned, pages are read
		inSmall()
		inLarge()
	}
	var few, many []costs
	for b.Loop() {
		few, many = append(few, inSmall()), append(many, inLarge())
	}
	for name, of := range map[string]func(costs) time.Duration{
		"":       func(c costs) time.Duration { return c.place + c.start },
		"full-":  func(c costs) time.Duration { return c.full },
		"place-": func(c costs) time.Duration { return c.place },
		"start-": func(c costs) time.Duration { return c.start },
		"end-":   func(c costs) time.Duration { return c.end },
	} {
		inFew, inMany := median(few, of), median(many, of)
		if inFew == 0 {
			continue // not part of this scene
		}
		b.ReportMetric(float64(inMany)/float64(inFew), name+"large/small")
		b.ReportMetric(float64(inMany.Microseconds()), name+"large-µs")
	}
	b.ReportMetric(0, "ns/op") // of both sizes together, which is no number of anything
}

func median(all []costs, of func(costs) time.Duration) time.Duration {
	var durations []time.Duration
	for _, c := range all {
		durations = append(durations, of(c))
	}
	slices.Sort(durations)
	return durations[len(durations)/2]
}

func busy(b *testing.B, db storetest.Database, n size) turn {
	b.Helper()
	y, raw := newBench(b, db, nil), db.Raw(b)
	held := n.workers * slots
	y.fill(raw, size{n.rows + held, n.workers}, y.submit().ID)
	y.exec(raw, `UPDATE execution SET status = 'scheduled', worker_id = 1 + id % $1, worker_name = 'w', incarnation = 1, scheduled_at = 0
		WHERE id <= $2`, n.workers, held)
	y.exec(raw, `UPDATE execution SET status = 'running', started_at = 0 WHERE status = 'scheduled'`)
	y.analyze(db, raw)
	var running []attune.Fence
	for id := range int64(held) {
		running = append(running, y.row(id+1).Fence())
	}
	return func() (c costs) {
		y.submit()
		c.full = y.took(y.scheduleNone)
		c.end = y.took(func(ctx context.Context) error { return y.complete(ctx, running[0]) })
		c.place = y.took(y.scheduleOne)
		f := y.placed()
		c.start = y.took(func(ctx context.Context) error { return y.begin(ctx, f) })
		running = append(running[1:], f)
		return c
	}
}

func idle(b *testing.B, db storetest.Database, n size) turn {
	b.Helper()
	y, raw := newBench(b, db, nil), db.Raw(b)
	var templates []int64
	for i := range 100 {
		templates = append(templates, y.ask(attune.RuntimePython, map[string]string{"n": fmt.Sprint(i)}, 0).ID)
	}
	y.fill(raw, n, templates...)
	y.analyze(db, raw)
	return func() (c costs) {
		y.submit()
		c.place = y.took(y.scheduleOne)
		f := y.placed()
		c.start = y.took(func(ctx context.Context) error { return y.begin(ctx, f) })
		c.end = y.took(func(ctx context.Context) error { return y.complete(ctx, f) })
		return c
	}
}

// fill registers workers, and stores as many rows as there are to be with what is there, all like the templates.
func (b *bench) fill(raw *sql.DB, n size, templates ...int64) {
	b.t.Helper()
	storetest.Write(b.t, b.store, func(ctx context.Context, q *store.Queries) error {
		for i := range n.workers {
			_, _, err := q.RegisterWorker(ctx, store.Registration{
				Name: fmt.Sprint("worker-", i), Host: fmt.Sprint("host-", i), Slots: slots, Lease: time.Hour,
				Labels:   map[string]string{"zone": fmt.Sprint(i % 3)},
				Runtimes: []attune.Runtime{{Name: attune.RuntimeShell, Version: "5.2", Path: "/bin/bash"}},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	const columns = `action_id, action_ref, status, attempt, max_attempts, class, class_key, request_digest, timeout_us,
		trace, not_before, published_at, created_at, parameters, env, context`
	for _, template := range templates {
		b.exec(raw, `WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < $1)
			INSERT INTO execution (`+columns+`) SELECT `+columns+` FROM execution, copy WHERE id = $2 AND n < $1`,
			n.rows/len(templates), template)
	}
}

func (b *bench) exec(raw *sql.DB, statement string, args ...any) {
	b.t.Helper()
	if _, err := raw.Exec(statement, args...); err != nil {
		b.t.Fatal(err)
	}
}

// analyze does what PostgreSQL does by itself, sooner or later, and what nobody does for SQLite.
func (b *bench) analyze(db storetest.Database, raw *sql.DB) {
	b.t.Helper()
	if db.Dialect == "postgres" {
		b.exec(raw, `VACUUM ANALYZE`)
	}
}

func (b *bench) placed() attune.Fence {
	b.t.Helper()
	m := next[broker.ExecutionScheduled](b)
	return attune.Fence{ExecutionID: m.ExecutionID, Attempt: m.Attempt, WorkerID: m.WorkerID, Incarnation: m.Incarnation}
}

func (b *bench) begin(ctx context.Context, f attune.Fence) error {
	_, err := b.Claim(ctx, f)
	return err
}

// took measures one call, which has to succeed.
func (b *bench) took(call func(context.Context) error) time.Duration {
	b.t.Helper()
	begun := time.Now()
	err := call(context.Background())
	took := time.Since(begun)
	if err != nil {
		b.t.Fatal(err)
	}
	return took
}

func (b *bench) scheduleOne(ctx context.Context) error  { return b.places(ctx, 1) }
func (b *bench) scheduleNone(ctx context.Context) error { return b.places(ctx, 0) }

func (b *bench) places(ctx context.Context, want int) error {
	round, err := b.Schedule(ctx, nil)
	if err == nil && round.Placed != want {
		err = fmt.Errorf("%d were placed, want %d", round.Placed, want)
	}
	return err
}

func (b *bench) complete(ctx context.Context, f attune.Fence) error {
	_, err := b.Finish(ctx, f, completed(), nil)
	return err
}
