-- +goose Up

-- How the processes of an attempt ended, as JSON; NULL if none ran, or nobody saw it.
ALTER TABLE execution ADD COLUMN processes TEXT;
ALTER TABLE execution_attempt ADD COLUMN processes TEXT;
