package execution_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// register stores a worker that offers these labels and runtimes.
func (b *bench) register(name string, slots int, labels map[string]string, runtimes ...string) store.WorkerRow {
	b.t.Helper()
	r := store.Registration{Name: name, Type: attune.WorkerTypeLocal, Slots: slots, Labels: labels, Lease: time.Hour}
	for _, runtime := range runtimes {
		r.Runtimes = append(r.Runtimes, attune.Runtime{Name: runtime})
	}
	storetest.Write(b.t, b.store, func(ctx context.Context, q *store.Queries) error {
		_, _, err := q.RegisterWorker(ctx, r)
		return err
	})
	row, err := b.store.Read().WorkerByName(context.Background(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

// ask submits an execution of the bench's action that needs a runtime and labels.
func (b *bench) ask(runtime string, labels map[string]string, pin int64) store.ExecutionRow {
	b.t.Helper()
	sub := b.submission()
	sub.Action.Runtime, sub.Action.WorkerSelector, sub.Pin = runtime, labels, pin
	row, _, err := b.Submit(context.Background(), sub)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

func TestLargeSelectorIsPlaced(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		labels := map[string]string{}
		for i := range 100 { // of random characters, which PostgreSQL can't compress
			value := make([]byte, 200)
			for j := range value {
				value[j] = byte('!' + rand.IntN(94))
			}
			labels[fmt.Sprintf("label%d", i)] = string(value)
		}
		row := b.ask(attune.RuntimeShell, labels, 0)
		other := b.ask(attune.RuntimeShell, map[string]string{"label0": strings.Repeat("x", 200)}, 0)
		b.register("w", 2, labels, attune.RuntimeShell)
		b.schedule(1)
		b.is(row.ID, attune.StatusScheduled)
		b.is(other.ID, attune.StatusRequested)
	})
}

func TestNextDueOverAllClasses(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		if _, found, err := b.store.Read().NextDue(ctx); err != nil || found {
			t.Errorf("nothing waits: %v %v", found, err)
		}
		due := b.ask(attune.RuntimeShell, nil, 0)
		if _, found, err := b.store.Read().NextDue(ctx); err != nil || found {
			t.Errorf("what waits is due: %v %v", found, err)
		}
		for i := range 5 {
			row := b.ask(attune.RuntimeShell, map[string]string{"n": fmt.Sprint(i)}, 0)
			storetest.Age(t, b.store, row.ID, -1000*int64(5-i))
		}
		storetest.Age(t, b.store, b.ask(attune.RuntimeShell, nil, 0).ID, -3000) // behind one that is due
		next, found, err := b.store.Read().NextDue(ctx)
		if err != nil || !found || next > 1000*time.Second || next < 990*time.Second {
			t.Errorf("%v %v %v", next, found, err)
		}
		lines, err := b.store.Read().Lines(ctx)
		if err != nil || len(lines) != 6 || lines[0].Head.ID != due.ID || !lines[0].Due || lines[1].Due {
			t.Errorf("%+v %v", lines, err)
		}
	})
}

func TestPassOverIsFenced(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		w := storetest.Worker(t, b.store, "w", 3)
		passedOver := func() bool {
			t.Helper()
			row, err := b.store.Read().Worker(ctx, w.ID)
			if err != nil {
				t.Fatal(err)
			}
			return row.PassedOver
		}
		claimed := b.running()
		if err := b.PassOver(ctx, claimed); err != nil || passedOver() {
			t.Errorf("a worker that has claimed what it is said to have let lie: %v", err)
		}
		b.is(claimed.ExecutionID, attune.StatusRunning)

		placed := b.submit()
		b.schedule(1)
		f := b.row(placed.ID).Fence()
		storetest.Worker(t, b.store, "w", 3) // it starts again
		if err := b.PassOver(ctx, f); err != nil || passedOver() {
			t.Errorf("a worker whose last life let it lie: %v", err)
		}
		b.is(placed.ID, attune.StatusRequested)

		b.schedule(1)
		if err := b.PassOver(ctx, b.row(placed.ID).Fence()); err != nil || !passedOver() {
			t.Errorf("a worker that let it lie: %v", err)
		}
	})
}

func TestWhatIsPlacedOnALifeThatIsOverGoesBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		w := storetest.Worker(t, b.store, "w", 3)
		running, row := b.running(), b.submit()
		b.schedule(1)
		if n, err := b.ReleaseOutlived(ctx); err != nil || n != 0 {
			t.Errorf("given back too early: %d %v", n, err)
		}
		storetest.Worker(t, b.store, "w", 3) // it starts again
		if n, err := b.ReleaseOutlived(ctx); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		b.is(row.ID, attune.StatusRequested)
		b.is(running.ExecutionID, attune.StatusRunning) // its end is for whoever knows that its processes have ended
		b.schedule(1)
		storetest.Write(t, b.store, func(ctx context.Context, q *store.Queries) error { return q.DeleteWorker(ctx, w.ID) })
		if n, err := b.ReleaseOutlived(ctx); err != nil || n != 1 {
			t.Errorf("of a worker that is gone: %d %v", n, err)
		}
	})
}
