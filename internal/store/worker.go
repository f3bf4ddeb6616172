package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/attune-automation/attune"
)

// WorkerRow is a worker with what users don't see of it.
type WorkerRow struct {
	attune.Worker
	Exclusive  bool // takes only what is pinned to it
	PassedOver bool // let a placed execution lie; gets nothing until it claims something
	Lapsed     bool // its lease is over, by the database's clock
	Lease      time.Duration
	Home       string // identifies the directory that it keeps on its host
	Offer      string // what it offers, shortened: workers of equal offers suit the same executions
}

// Alive tells whether the worker may be running: it has not left, and its lease is not over.
func (w WorkerRow) Alive() bool {
	return w.Status != attune.WorkerInactive && w.Status != attune.WorkerLost && !w.Lapsed
}

// Registration is what a worker says of itself when it starts.
type Registration struct {
	Name      string
	Type      string
	Host      string
	Runtimes  []attune.Runtime
	Labels    map[string]string
	Slots     int
	Exclusive bool
	Lease     time.Duration
	Home      string // see WorkerRow
	ShortOf   []attune.Shortage
	Seen      int64 // incarnation that the row of this name had when it was found free to take; 0: there was none
}

// RegisterWorker stores a worker that starts: a new row, or a new incarnation of the row that has its name. It returns
// 0 if another process has registered since Seen was read. A worker that was cordoned stays so.
func (q *Queries) RegisterWorker(ctx context.Context, r Registration) (id, incarnation int64, err error) {
	labels, err := json.Marshal(r.Labels)
	if err != nil {
		return 0, 0, err
	}
	shortOf, err := shortageText(r.ShortOf)
	if err != nil {
		return 0, 0, err
	}
	err = q.row(ctx, `
		INSERT INTO worker (name, status, incarnation, worker_type, host, labels, labels_key, runtimes, slots, exclusive,
			passed_over, registered_at, last_heartbeat, lease_until, home, short_of)
		VALUES ($1, 'active', 1, $2, $3, $4, $9, '', $5, $6, FALSE, {now}, {now}, {now} + $7, $8, $11)
		ON CONFLICT (name) DO UPDATE SET
			status = CASE worker.status WHEN 'cordoned' THEN 'cordoned' ELSE 'active' END,
			incarnation = worker.incarnation + 1, worker_type = excluded.worker_type, host = excluded.host,
			labels = excluded.labels, labels_key = excluded.labels_key, slots = excluded.slots, exclusive = excluded.exclusive, passed_over = FALSE,
			registered_at = excluded.registered_at, last_heartbeat = excluded.last_heartbeat,
			lease_until = excluded.lease_until, home = excluded.home, short_of = excluded.short_of
			WHERE worker.incarnation = $10
		RETURNING id, incarnation`,
		r.Name, r.Type, clean(r.Host), string(labels), r.Slots, r.Exclusive, r.Lease.Microseconds(), r.Home,
		keyOf(string(labels)), r.Seen, shortOf).Scan(&id, &incarnation)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, wrap(err, "register worker %s", r.Name)
	}
	return id, incarnation, q.replaceRuntimes(ctx, id, r.Runtimes)
}

// SetRuntimes replaces the capabilities of an incarnation of a worker; those of a later one are left alone.
func (q *Queries) SetRuntimes(ctx context.Context, workerID, incarnation int64, runtimes []attune.Runtime) error {
	var now int64
	err := q.row(ctx, `SELECT incarnation FROM worker WHERE id = $1 {for update}`, workerID).Scan(&now)
	if errors.Is(err, sql.ErrNoRows) || err == nil && now != incarnation {
		return nil
	}
	if err != nil {
		return wrap(err, "look up the incarnation of worker %d", workerID)
	}
	return q.replaceRuntimes(ctx, workerID, runtimes)
}

func (q *Queries) replaceRuntimes(ctx context.Context, workerID int64, runtimes []attune.Runtime) error {
	if _, err := q.exec(ctx, `DELETE FROM runtime WHERE worker_id = $1`, workerID); err != nil {
		return wrap(err, "clear the runtimes of worker %d", workerID)
	}
	for _, r := range runtimes {
		_, err := q.exec(ctx, `INSERT INTO runtime (worker_id, name, version, path) VALUES ($1, $2, $3, $4)`,
			workerID, r.Name, clean(r.Version), clean(r.Path))
		if err != nil {
			return wrap(err, "store runtime %s of worker %d", r.Name, workerID)
		}
	}
	_, err := q.exec(ctx, `UPDATE worker SET runtimes = $2 WHERE id = $1`, workerID, runtimeNames(runtimes))
	return wrap(err, "store the runtimes of worker %d", workerID)
}

// runtimeNames writes the names of runtimes as column runtimes has them.
func runtimeNames(runtimes []attune.Runtime) string {
	var names []string
	for _, r := range runtimes {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// named returns the runtimes that column runtimes names.
func named(names string) (runtimes []attune.Runtime) {
	for name := range strings.FieldsSeq(names) {
		runtimes = append(runtimes, attune.Runtime{Name: name})
	}
	return runtimes
}

// Pulse is the answer to a heartbeat.
type Pulse struct {
	Status attune.WorkerStatus
	Held   int // executions that the worker has, in the table
}

// Heartbeat renews the lease of an incarnation, in one statement. It returns false if a later incarnation has taken the
// row or it is gone. A worker that was taken for lost stays so, until it has seen to what it was running and says that
// it is active. One that was passed over gets another chance: it may have let one execution lie and be well, and
// without work it could never show it.
func (q *Queries) Heartbeat(ctx context.Context, id, incarnation int64, lease time.Duration) (p Pulse, mine bool, err error) {
	err = q.row(ctx, `
		UPDATE worker SET last_heartbeat = {now}, lease_until = {now} + $3, passed_over = FALSE
		WHERE id = $1 AND incarnation = $2
		RETURNING status, (SELECT count(*) FROM execution e
			WHERE e.worker_id = worker.id AND e.status IN ('scheduled', 'running', 'canceling'))`,
		id, incarnation, lease.Microseconds()).Scan((*string)(&p.Status), &p.Held)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, wrap(err, "renew the lease of worker %d", id)
}

// SetWorkerStatus changes a worker's status if it is one of from; it returns whether it was.
func (q *Queries) SetWorkerStatus(ctx context.Context, id int64, to attune.WorkerStatus, from ...attune.WorkerStatus) (bool, error) {
	args := []any{id, string(to)}
	marks := make([]string, len(from))
	for i, status := range from {
		args = append(args, string(status))
		marks[i] = placeholder(len(args))
	}
	n, err := q.exec(ctx, `UPDATE worker SET status = $2
		WHERE id = $1 AND status IN (`+strings.Join(marks, ", ")+`)`, args...)
	return n > 0, wrap(err, "set worker %d %s", id, to)
}

// MarkWorkerLost marks an incarnation as lost, unless a later one has the row or, where its silence is what tells, its
// lease was renewed; it returns whether neither is so. One that was cordoned, is to drain or has left keeps its status:
// when it is heard again, it must still know.
func (q *Queries) MarkWorkerLost(ctx context.Context, id, incarnation int64, silent bool) (bool, error) {
	n, err := q.exec(ctx, `
		UPDATE worker SET status = CASE WHEN status = 'active' THEN 'lost' ELSE status END
		WHERE id = $1 AND incarnation = $2 AND (lease_until < {now} OR NOT $3)`, id, incarnation, silent)
	return n > 0, wrap(err, "mark worker %d as lost", id)
}

// Deregister marks an incarnation that has ended as inactive; a later incarnation is left alone.
func (q *Queries) Deregister(ctx context.Context, id, incarnation int64) error {
	_, err := q.exec(ctx, `UPDATE worker SET lease_until = {now},
			status = CASE status WHEN 'cordoned' THEN 'cordoned' ELSE 'inactive' END
		WHERE id = $1 AND incarnation = $2`, id, incarnation)
	return wrap(err, "deregister worker %d", id)
}

// DeleteWorker removes a worker's row.
func (q *Queries) DeleteWorker(ctx context.Context, id int64) error {
	_, err := q.exec(ctx, `DELETE FROM worker WHERE id = $1`, id)
	return wrap(err, "delete worker %d", id)
}

// SetPassedOver marks an incarnation that let a placed execution lie, or that has claimed one again; a later one is left
// alone.
func (q *Queries) SetPassedOver(ctx context.Context, id, incarnation int64, passed bool) error {
	_, err := q.exec(ctx, `UPDATE worker SET passed_over = $3 WHERE id = $1 AND incarnation = $2 AND passed_over <> $3`,
		id, incarnation, passed)
	return wrap(err, "mark worker %d as passed over", id)
}

// SetShortOf stores what the host of an incarnation of a worker is short of; a later one is left alone.
func (q *Queries) SetShortOf(ctx context.Context, id, incarnation int64, shortOf []attune.Shortage) error {
	text, err := shortageText(shortOf)
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, `UPDATE worker SET short_of = $3 WHERE id = $1 AND incarnation = $2`, id, incarnation, text)
	return wrap(err, "store what worker %d is short of", id)
}

// shortageText writes shortages as column short_of has them.
func shortageText(shortOf []attune.Shortage) (string, error) {
	if len(shortOf) == 0 {
		return "", nil
	}
	text, err := json.Marshal(shortOf)
	return string(text), err
}

// Short returns the living workers that take nothing new because their hosts are short of something.
func (q *Queries) Short(ctx context.Context) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker,
		workerQuery+`WHERE w.short_of <> '' AND w.status IN ('active', 'cordoned', 'draining') AND w.lease_until >= {now} ORDER BY w.id`)
	return workers, wrap(err, "list workers whose hosts are short of something")
}

const workerQuery = `
	SELECT w.id, w.name, w.status, w.incarnation, w.worker_type, w.host, w.labels, w.slots, w.slots_used, w.exclusive,
		w.passed_over, w.last_heartbeat, w.lease_until < {now}, w.lease_until - w.last_heartbeat, w.home, w.offer, w.runtimes, w.short_of
	FROM worker w `

// scanWorker reads a worker with the names of its runtimes.
func scanWorker(row scanner) (w WorkerRow, err error) {
	var status, labels, runtimes, shortOf string
	var heartbeat, lease int64
	err = row.Scan(&w.ID, &w.Name, &status, &w.Incarnation, &w.Type, &w.Host, &labels, &w.Slots, &w.SlotsUsed, &w.Exclusive,
		&w.PassedOver, &heartbeat, &w.Lapsed, &lease, &w.Home, &w.Offer, &runtimes, &shortOf)
	if err != nil {
		return w, err
	}
	w.Runtimes = named(runtimes)
	w.Status, w.LastHeartbeat, w.Lease = attune.WorkerStatus(status), fromMicros(heartbeat), time.Duration(lease)*time.Microsecond
	if shortOf != "" {
		if err := json.Unmarshal([]byte(shortOf), &w.ShortOf); err != nil {
			return w, err
		}
	}
	if err := json.Unmarshal([]byte(labels), &w.Labels); err != nil || w.Labels != nil {
		return w, err
	}
	w.Labels = map[string]string{} // no labels are an empty object to whoever reads JSON, not null
	return w, nil
}

// Workers returns all workers by name, with their runtimes and the slots in use.
func (q *Queries) Workers(ctx context.Context) ([]WorkerRow, error) {
	workers, err := collect(ctx, q, scanWorker, workerQuery+`ORDER BY w.name`)
	if err != nil {
		return nil, wrap(err, "list workers")
	}
	return workers, q.addRuntimes(ctx, workers, "")
}

// AnySilent tells in one statement whether a worker's lease is over that has not left in good order, or that has
// executions still, and when that was by the database's clock.
func (q *Queries) AnySilent(ctx context.Context) (silent bool, at time.Time, err error) {
	var us int64
	err = q.row(ctx, `SELECT EXISTS (SELECT 1 FROM worker w WHERE w.lease_until < {now}
		AND (w.status = 'active' OR EXISTS (SELECT 1 FROM execution e
			WHERE e.worker_id = w.id AND e.status IN ('scheduled', 'running', 'canceling')))), {now}`).Scan(&silent, &us)
	return silent, fromMicros(us), wrap(err, "look for silent workers")
}

// Worker returns one worker.
func (q *Queries) Worker(ctx context.Context, id int64) (WorkerRow, error) {
	return q.oneWorker(ctx, `WHERE w.id = $1`, id)
}

// WorkerByName returns the worker that has the name.
func (q *Queries) WorkerByName(ctx context.Context, name string) (WorkerRow, error) {
	return q.oneWorker(ctx, `WHERE w.name = $1`, name)
}

func (q *Queries) oneWorker(ctx context.Context, where string, arg any) (WorkerRow, error) {
	w, err := scanWorker(q.row(ctx, workerQuery+where, arg))
	if errors.Is(err, sql.ErrNoRows) {
		return w, attune.Errorf(attune.CodeNotFound, "there is no worker %v: `attune worker list` shows what there is", arg)
	}
	if err != nil {
		return w, wrap(err, "load worker %v", arg)
	}
	one := []WorkerRow{w}
	err = q.addRuntimes(ctx, one, `WHERE worker_id = $1 `, w.ID)
	return one[0], err
}

// addRuntimes adds what is known of the workers' runtimes, read from the rows that where selects.
func (q *Queries) addRuntimes(ctx context.Context, workers []WorkerRow, where string, args ...any) error {
	type capability struct {
		worker int64
		attune.Runtime
	}
	scan := func(row scanner) (c capability, err error) {
		return c, row.Scan(&c.worker, &c.Name, &c.Version, &c.Path)
	}
	all, err := collect(ctx, q, scan, `SELECT worker_id, name, version, path FROM runtime `+where+`ORDER BY name`, args...)
	if err != nil {
		return wrap(err, "list runtimes")
	}
	of := map[int64][]attune.Runtime{}
	for _, c := range all {
		of[c.worker] = append(of[c.worker], c.Runtime)
	}
	for i := range workers {
		workers[i].Runtimes = append([]attune.Runtime{}, of[workers[i].ID]...)
	}
	return nil
}
