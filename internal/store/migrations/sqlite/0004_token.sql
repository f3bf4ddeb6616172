-- +goose Up

-- Tokens that let somebody in. The one in a server's data directory is not among them.
CREATE TABLE token (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE, -- SHA-256 of what is 256 bits of chance: nobody finds it by trying
    role         TEXT NOT NULL,
    packs        TEXT NOT NULL, -- JSON; [] is all
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER, -- NULL: never
    last_used_at INTEGER
);
