package store

import (
	"context"
	"encoding/json"
	"strconv"
)

// The statements below find workers that may be given something now, each in the order of an index, so that they cost
// what they return and not what the fleet has. Their conditions are those of the indexes, word for word, which is what
// SQLite asks for. Of the runtimes they return the names alone. Limits are few and stand in the text: for a parameter
// PostgreSQL would plan each time anew, which costs it more than to run the statement.

// willing is a worker that has a free slot and may use it.
const willing = `w.status = 'active' AND NOT w.passed_over AND w.short_of = '' AND w.slots_used < w.slots`

// open is a willing worker that takes more than what is pinned to it.
const open = willing + ` AND NOT w.exclusive`

// Freest returns at most limit of the open workers, the freest first.
func (q *Queries) Freest(ctx context.Context, limit int) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker,
		workerQuery+`WHERE `+open+` ORDER BY w.slots - w.slots_used DESC, w.id LIMIT `+strconv.Itoa(limit))
	return workers, wrap(err, "list the freest workers")
}

// Offers returns what open workers offer, each offer once, with the slots of the freest that makes it: as workers, of
// which no more is known. It jumps from offer to offer, and joins nothing, as ofEachClass.
func (q *Queries) Offers(ctx context.Context) ([]WorkerRow, error) {
	freest := func(column string) string {
		return `(SELECT ` + column + ` FROM worker w WHERE ` + open + ` AND w.offer = offer.text
			ORDER BY w.slots - w.slots_used DESC, w.id LIMIT 1)`
	}
	scan := func(row scanner) (w WorkerRow, err error) {
		var labels, runtimes string
		if err = row.Scan(&w.Offer, &labels, &runtimes, &w.Slots); err != nil {
			return w, err
		}
		w.Runtimes = named(runtimes)
		return w, json.Unmarshal([]byte(labels), &w.Labels)
	}
	offers, err := collect(ctx, q, scan, `
		WITH RECURSIVE offer (text) AS (
			SELECT (SELECT w.offer FROM worker w WHERE `+open+` ORDER BY w.offer LIMIT 1)
			UNION ALL
			SELECT (SELECT w.offer FROM worker w WHERE `+open+` AND w.offer > offer.text ORDER BY w.offer LIMIT 1)
			FROM offer WHERE offer.text IS NOT NULL)
		SELECT offer.text, `+freest("w.labels")+`, `+freest("w.runtimes")+`, `+freest("w.slots - w.slots_used")+`
		FROM offer WHERE offer.text IS NOT NULL`)
	return offers, wrap(err, "list what workers with free slots offer")
}

// FreestOf returns at most limit of the open workers that make an offer, the freest first.
func (q *Queries) FreestOf(ctx context.Context, offer string, limit int) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker,
		workerQuery+`WHERE `+open+` AND w.offer = $1 ORDER BY w.slots - w.slots_used DESC, w.id LIMIT `+strconv.Itoa(limit), offer)
	return workers, wrap(err, "list the freest workers of an offer")
}

// Willing returns one worker, or none if it may not be given something now; one that is exclusive, too.
func (q *Queries) Willing(ctx context.Context, id int64) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker, workerQuery+`WHERE w.id = $1 AND `+willing, id)
	return workers, wrap(err, "look whether worker %d has a free slot", id)
}
