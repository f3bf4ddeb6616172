-- +goose Up

-- How the parts of an attempt's stderr.log lie between those of its stdout.log: a JSON array, attune.OutputOrder. It is a
-- part of the row of stderr.log, and so is kept for as long.
ALTER TABLE artifact ADD COLUMN output_order TEXT;
