-- +goose Up

-- Lists by pack, by worker and by time. The first two are in the order of ids, as lists are.
CREATE INDEX execution_by_pack ON execution (split_part(action_ref, '.', 1), id);
CREATE INDEX execution_by_worker ON execution (worker_name, id) WHERE worker_name IS NOT NULL;
CREATE INDEX execution_by_age ON execution (created_at, id);
