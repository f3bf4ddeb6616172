package store

import "context"

// The statements below find workers that may be given something now, each in the order of an index, so that they cost
// what they return and not what the fleet has. Their conditions are those of the indexes, word for word, which is what
// SQLite asks for. Of the runtimes they return the names alone.

// willing is a worker that has a free slot and may use it.
const willing = `w.status = 'active' AND NOT w.passed_over AND w.slots_used < w.slots`

// open is a willing worker that takes more than what is pinned to it.
const open = willing + ` AND NOT w.exclusive`

// Freest returns at most limit of the open workers, the freest first.
func (q *Queries) Freest(ctx context.Context, limit int) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker,
		workerQuery+`WHERE `+open+` ORDER BY w.slots - w.slots_used DESC, w.id LIMIT $1`, limit)
	return workers, wrap(err, "list the freest workers")
}

// FreestOfEachOffer returns of each offer that open workers make the freest of them. It jumps from offer to offer.
func (q *Queries) FreestOfEachOffer(ctx context.Context) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker, `
		WITH RECURSIVE freest (id) AS (
			SELECT (SELECT w.id FROM worker w WHERE `+open+` ORDER BY w.offer, w.slots - w.slots_used DESC, w.id LIMIT 1)
			UNION ALL
			SELECT (SELECT w.id FROM worker w WHERE `+open+` AND w.offer > last.offer
				ORDER BY w.offer, w.slots - w.slots_used DESC, w.id LIMIT 1)
			FROM freest JOIN worker last ON last.id = freest.id)`+
		workerQuery+`JOIN freest ON freest.id = w.id`)
	return workers, wrap(err, "list what workers with free slots offer")
}

// FreestOf returns at most limit of the open workers that make an offer, the freest first.
func (q *Queries) FreestOf(ctx context.Context, offer string, limit int) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker,
		workerQuery+`WHERE `+open+` AND w.offer = $1 ORDER BY w.slots - w.slots_used DESC, w.id LIMIT $2`, offer, limit)
	return workers, wrap(err, "list the freest workers of an offer")
}

// Willing returns one worker, or none if it may not be given something now; one that is exclusive, too.
func (q *Queries) Willing(ctx context.Context, id int64) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker, workerQuery+`WHERE w.id = $1 AND `+willing, id)
	return workers, wrap(err, "look whether worker %d has a free slot", id)
}
