-- +goose Up

-- What the worker's host is short of, as JSON, for which the worker takes nothing new; '' if it is short of nothing.
ALTER TABLE worker ADD COLUMN short_of TEXT NOT NULL DEFAULT '';

DROP INDEX worker_freest;
DROP INDEX worker_freest_of_offer;
CREATE INDEX worker_freest ON worker ((slots - slots_used) DESC, id)
    WHERE status = 'active' AND NOT passed_over AND short_of = '' AND NOT exclusive AND slots_used < slots;
CREATE INDEX worker_freest_of_offer ON worker (offer, (slots - slots_used) DESC, id)
    WHERE status = 'active' AND NOT passed_over AND short_of = '' AND NOT exclusive AND slots_used < slots;
-- The workers that take nothing new, for who asks whether there are any.
CREATE INDEX worker_short ON worker (id) WHERE short_of <> '';
