-- +goose Up

-- Where an artifact's content is: with the worker alone, with it until the artifact store has it, or in the store too.
ALTER TABLE artifact ADD COLUMN location TEXT NOT NULL DEFAULT 'worker'; -- worker, pending, stored
CREATE INDEX artifact_pending ON artifact (worker_name, id) WHERE location = 'pending';
