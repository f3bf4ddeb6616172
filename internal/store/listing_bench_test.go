package store_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/attune-automation/attune/internal/store"
	"github.com/attune-automation/attune/internal/store/storetest"
)

// manyExecutions is how many there are in BenchmarkLists, a second between each and the next.
const manyExecutions = 1_000_000

// BenchmarkLists measures the usual lists among many executions, 50 rows each.
func BenchmarkLists(b *testing.B) {
	for name, empty := range map[string]func(testing.TB) storetest.Database{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := empty(b)
			s, raw := db.Open(b), db.Raw(b)
			put(b, raw, storetest.PutAction(b, s, storetest.Action("demo.hello")).ID, manyListed(20))
			multiply(b, db, raw, manyExecutions)
			day := listEpoch.Add(5 * 24 * time.Hour)
			lists := usualLists(manyExecutions, day, day.Add(24*time.Hour))
			lists["text that is nowhere, in 10,000"] = store.Filter{Text: "nowhere"}
			lists["filters that none fits, in 10,000"] = store.Filter{Action: "demo.hello", Worker: "w2"}
			for name, f := range lists {
				f.Limit = 50
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						if _, err := s.Read().Executions(context.Background(), f); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// multiply makes many executions of the 20 that there are, in which the first stands for old ones.
func multiply(tb testing.TB, db storetest.Database, raw *sql.DB, many int) {
	tb.Helper()
	const columns = `action_id, action_ref, status, worker_name, error_kind, error_message, attempt, max_attempts, class, class_key,
		request_digest, timeout_us, trace, not_before, published_at, env, context`
	series, filler := `WITH RECURSIVE generate_series (n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM generate_series WHERE n < $2)`, `zeroblob(200)`
	from, analyze := `generate_series`, `ANALYZE`
	if db.Dialect == "postgres" {
		series, filler, from, analyze = ``, `decode(repeat('00', 200), 'hex')`, `generate_series($1::bigint, $2::bigint) AS s (n)`, `VACUUM ANALYZE execution`
	}
	_, err := raw.Exec(series+` INSERT INTO execution (created_at, parameters, `+columns+`)
		SELECT $3 + n * 1000000, `+filler+`, `+columns+` FROM `+from+` JOIN execution ON id = CASE WHEN n < $4 THEN 1 ELSE 2 END
		ORDER BY n`, 21, many, listEpoch.UnixMicro(), many/20)
	if _, also := raw.Exec(analyze); errors.Join(err, also) != nil {
		tb.Fatal(errors.Join(err, also))
	}
}
