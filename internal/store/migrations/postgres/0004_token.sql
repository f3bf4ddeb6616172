-- +goose Up

-- Tokens that let somebody in. The one in a server's data directory is not among them.
CREATE TABLE token (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         BYTEA NOT NULL UNIQUE, -- SHA-256 of what is 256 bits of chance: nobody finds it by trying
    role         TEXT NOT NULL,
    packs        TEXT NOT NULL, -- JSON; [] is all
    created_by   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT, -- NULL: never
    last_used_at BIGINT
);
