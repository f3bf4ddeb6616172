-- +goose Up

-- SQLite compares pairs with an index only if both are columns.
ALTER TABLE execution ADD COLUMN pack_ref TEXT GENERATED ALWAYS AS (substr(action_ref, 1, instr(action_ref, '.') - 1)) VIRTUAL;

-- Lists by pack, by worker and by time. The first two are in the order of ids, as lists are.
CREATE INDEX execution_by_pack ON execution (pack_ref, id);
CREATE INDEX execution_by_worker ON execution (worker_name, id) WHERE worker_name IS NOT NULL;
CREATE INDEX execution_by_age ON execution (created_at, id);
