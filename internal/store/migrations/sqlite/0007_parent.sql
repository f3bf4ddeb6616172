-- +goose Up

-- The execution that has started this one, and how many are above it: 0 if nobody but a caller is. An execution that is
-- deleted stays named by what it has started: ids are never used again.
ALTER TABLE execution ADD COLUMN parent_id INTEGER;
ALTER TABLE execution ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
CREATE INDEX execution_by_parent ON execution (parent_id, id) WHERE parent_id IS NOT NULL;
