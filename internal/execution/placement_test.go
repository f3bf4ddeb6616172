package execution_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/execution"
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
		if err != nil || len(lines) != 6 {
			t.Errorf("%+v %v", lines, err)
		}
		for _, l := range lines {
			if l.Due != (l.Head.ID == due.ID) {
				t.Errorf("%+v", l)
			}
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

// scheduleAll places until nothing more can be, and returns how many were placed.
func (b *bench) scheduleAll() (placed int) {
	b.t.Helper()
	for {
		round, err := b.Schedule(context.Background(), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		placed += round.Placed
		if !round.More() {
			return placed
		}
	}
}

// used returns how many slots of each worker are taken.
func (b *bench) used() map[string]int {
	b.t.Helper()
	workers, err := b.store.Read().Workers(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	used := map[string]int{}
	for _, w := range workers {
		used[w.Name] = w.SlotsUsed
	}
	return used
}

func TestTheFreestWorkerFirst(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		for name, slots := range map[string]int{"five": 5, "three": 3, "one": 1} {
			storetest.Worker(t, b.store, name, slots)
		}
		for range 4 {
			b.submit()
		}
		b.schedule(4)
		if used := b.used(); used["five"] != 3 || used["three"] != 1 || used["one"] != 0 {
			t.Errorf("%v", used)
		}
	})
}

func TestManyAreSpreadOverMoreWorkersThanAreLookedAtFirst(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		const workers = 60
		b := newBench(t, db, nil)
		for i := range workers {
			storetest.Worker(t, b.store, fmt.Sprint("w", i), 3)
			b.submit()
		}
		b.schedule(workers)
		for name, used := range b.used() {
			if used != 1 {
				t.Errorf("%s has %d", name, used)
			}
		}
	})
}

func TestBusyClassLeavesOthersTheirWorkers(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		for range 20 {
			b.submit()
		}
		var last []store.ExecutionRow
		for range 3 {
			last = append(last, b.ask(attune.RuntimePython, nil, 0))
		}
		b.register("shell", 2, nil, attune.RuntimeShell)
		b.register("python", 5, nil, attune.RuntimePython)
		b.schedule(5)
		for _, row := range last {
			b.is(row.ID, attune.StatusScheduled)
		}
	})
}

// TestWhoeverSuitsIsFoundBehindTheFreest hides the few workers that suit behind many freer ones, of one offer and of an
// offer each.
func TestWhoeverSuitsIsFoundBehindTheFreest(t *testing.T) {
	t.Parallel()
	for name, labels := range map[string]func(i int) map[string]string{
		"one offer":     func(int) map[string]string { return nil },
		"an offer each": func(i int) map[string]string { return map[string]string{"host": fmt.Sprint(i)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, func(t *testing.T, db storetest.Database) {
				b := newBench(t, db, nil)
				for i := range 50 {
					b.register(fmt.Sprint("w", i), 10, labels(i), attune.RuntimeShell)
				}
				gpu := map[string]string{"gpu": "yes"}
				for i := range 25 {
					b.register(fmt.Sprint("gpu", i), 2, map[string]string{"gpu": "yes", "host": fmt.Sprint(i % 15)}, attune.RuntimeShell)
				}
				pinned := b.register("pinned", 1, nil, attune.RuntimeShell)
				for range 60 {
					b.ask(attune.RuntimeShell, gpu, 0)
				}
				own := b.ask(attune.RuntimeShell, nil, pinned.ID)
				if n := b.scheduleAll(); n != 51 {
					t.Errorf("placed %d, want one on each slot that suits", n)
				}
				b.is(own.ID, attune.StatusScheduled)
				for name, used := range b.used() {
					if want := map[bool]int{true: 2}[strings.HasPrefix(name, "gpu")]; used != want && name != "pinned" {
						t.Errorf("%s has %d, want %d", name, used, want)
					}
				}
			})
		})
	}
}

func TestServersThatPlaceAtOnceKeepToTheSlots(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		const servers, workers, all = 4, 30, 150
		b, ctx := newBench(t, db, nil), context.Background()
		for i := range workers {
			storetest.Worker(t, b.store, fmt.Sprint("w", i), 4)
		}
		for range all {
			b.submit()
		}
		var placed [servers]int
		var wg sync.WaitGroup
		for i := range servers {
			wg.Go(func() {
				for {
					round, err := b.Schedule(ctx, nil)
					placed[i] += round.Placed
					if errors.Is(err, execution.ErrPlacing) {
						continue
					}
					if err != nil {
						t.Error(err)
					}
					if !round.More() {
						return
					}
				}
			})
		}
		wg.Wait()
		total := 0
		for _, n := range placed {
			total += n
		}
		if total != workers*4 {
			t.Errorf("placed %v, want %d in all", placed, workers*4)
		}
		for name, used := range b.used() {
			if used != 4 {
				t.Errorf("%s has %d of 4 slots", name, used)
			}
		}
	})
}

// TestClassOfFewWorkersIsNotCrowdedOut has one class that one worker suits, behind many freer ones that suit another
// class with a longer line.
func TestClassOfFewWorkersIsNotCrowdedOut(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b := newBench(t, db, nil)
		for i := range 25 { // what is looked at first, and suits neither
			b.register(fmt.Sprint("free", i), 9, nil, attune.RuntimeShell)
		}
		for i := range 30 {
			b.register(fmt.Sprint("many", i), 5, map[string]string{"many": "yes", "host": fmt.Sprint(i)}, attune.RuntimeShell)
		}
		b.register("few", 1, map[string]string{"few": "yes"}, attune.RuntimeShell)
		for range 40 {
			b.ask(attune.RuntimeShell, map[string]string{"many": "yes"}, 0)
		}
		row := b.ask(attune.RuntimeShell, map[string]string{"few": "yes"}, 0)
		b.schedule(41)
		b.is(row.ID, attune.StatusScheduled)
	})
}

// TestNothingWaitsThatCouldRun draws fleets and backlogs, and checks that no worker has more than its slots or what it
// does not suit, and that nothing is left that a free slot suits.
func TestNothingWaitsThatCouldRun(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db storetest.Database) {
		b, ctx := newBench(t, db, nil), context.Background()
		rapid.Check(t, func(rt *rapid.T) {
			b.clear(ctx)
			labels := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]string{"x", "y"}), 0, 2)
			runtimes := []string{attune.RuntimeShell, attune.RuntimePython}
			var ids []int64
			for i := range rapid.IntRange(0, 40).Draw(rt, "workers") {
				w := b.register(fmt.Sprint("w", i), rapid.IntRange(0, 3).Draw(rt, "slots"), labels.Draw(rt, "labels"),
					runtimes[:rapid.IntRange(1, 2).Draw(rt, "runtimes")]...)
				ids = append(ids, w.ID)
			}
			for range rapid.IntRange(0, 60).Draw(rt, "executions") {
				pin := int64(0)
				if len(ids) > 0 && rapid.IntRange(0, 9).Draw(rt, "pin") == 0 {
					pin = rapid.SampledFrom(ids).Draw(rt, "pinned to")
				}
				b.ask(rapid.SampledFrom(runtimes).Draw(rt, "runtime"), labels.Draw(rt, "selector"), pin)
			}
			b.scheduleAll()
			b.settled(ctx, rt)
		})
	})
}

// clear takes every worker and every execution away.
func (b *bench) clear(ctx context.Context) {
	b.t.Helper()
	workers, err := b.store.Read().Workers(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, w := range workers {
		storetest.Write(b.t, b.store, func(ctx context.Context, q *store.Queries) error { return q.DeleteWorker(ctx, w.ID) })
	}
	listed, err := b.store.Read().Executions(ctx, store.Filter{Statuses: []attune.Status{"requested", "scheduled"}, Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range listed.Rows {
		if _, err := b.Cancel(ctx, row.ID, "a test"); err != nil {
			b.t.Fatal(err)
		}
	}
	for len(b.sent) > 0 {
		<-b.sent
	}
}

// settled checks what placing has made of workers and executions.
func (b *bench) settled(ctx context.Context, rt *rapid.T) {
	workers, err := b.store.Read().Workers(ctx)
	if err != nil {
		rt.Fatal(err)
	}
	of := map[int64]store.WorkerRow{}
	for _, w := range workers {
		of[w.ID] = w
		if w.SlotsUsed > w.Slots {
			rt.Errorf("%s has %d of %d slots", w.Name, w.SlotsUsed, w.Slots)
		}
	}
	listed, err := b.store.Read().Executions(ctx, store.Filter{Statuses: []attune.Status{"requested", "scheduled"}, Limit: 1000})
	if err != nil {
		rt.Fatal(err)
	}
	for _, row := range listed.Rows {
		class, err := execution.ParseClass(row.Class)
		if err != nil {
			rt.Fatal(err)
		}
		if row.Status == attune.StatusScheduled {
			if !class.Suits(of[row.WorkerID]) {
				rt.Errorf("%s is on %+v", row.Class, of[row.WorkerID])
			}
			continue
		}
		for _, w := range workers {
			if class.Suits(w) && w.SlotsUsed < w.Slots {
				rt.Errorf("%s waits, and %s has %d of %d slots", row.Class, w.Name, w.SlotsUsed, w.Slots)
			}
		}
	}
}
