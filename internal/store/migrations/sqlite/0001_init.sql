-- Times are microseconds since 1970 UTC. Flags are 0 or 1, which is what TRUE and FALSE mean here. Parameters, results and definitions are bytes, because
-- JSON may hold \u0000, which a text column of PostgreSQL refuses.

-- +goose Up

CREATE TABLE pack (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    ref          TEXT NOT NULL UNIQUE,
    digest       TEXT NOT NULL,
    version      TEXT NOT NULL,
    label        TEXT NOT NULL,
    description  TEXT NOT NULL,
    author       TEXT NOT NULL,
    tags         TEXT NOT NULL,
    installed_at INTEGER NOT NULL
);

-- The files of a pack or of a script, kept while an action that may still run refers to them.
CREATE TABLE archive (
    digest     TEXT PRIMARY KEY,
    content    BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

-- One row for each version of an action that was ever asked for; the installed one has the flag. An execution keeps
-- the row that it was submitted with, so that a new version of a pack disturbs nothing that waits or runs.
CREATE TABLE action (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    ref               TEXT NOT NULL,
    pack_ref          TEXT NOT NULL,
    digest            TEXT NOT NULL,
    definition        BLOB NOT NULL,
    definition_digest TEXT NOT NULL,
    installed         INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    UNIQUE (ref, definition_digest)
);
CREATE UNIQUE INDEX action_installed ON action (ref) WHERE installed;
CREATE INDEX action_digest ON action (digest);

CREATE TABLE worker (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT NOT NULL UNIQUE,
    status         TEXT NOT NULL,
    incarnation    INTEGER NOT NULL,
    worker_type    TEXT NOT NULL,
    host           TEXT NOT NULL,
    labels         TEXT NOT NULL,
    labels_key     TEXT NOT NULL, -- a hash of labels, which may be too long for an index
    runtimes       TEXT NOT NULL, -- the names in table runtime, in order
    slots          INTEGER NOT NULL,
    slots_used     INTEGER NOT NULL DEFAULT 0, -- executions that it holds; kept by triggers of execution
    exclusive      INTEGER NOT NULL, -- takes only what is pinned to it
    passed_over    INTEGER NOT NULL, -- let a placed row lie; gets nothing until it claims something
    registered_at  INTEGER NOT NULL,
    last_heartbeat INTEGER NOT NULL,
    lease_until    INTEGER NOT NULL,
    home           TEXT NOT NULL, -- identifies the directory that the worker keeps on its host
    offer          TEXT NOT NULL GENERATED ALWAYS AS (runtimes || ' ' || labels_key) STORED -- equal ones suit the same
);

-- The workers that may be given what is not pinned to one: the freest of all, and the freest of each offer.
CREATE INDEX worker_freest ON worker ((slots - slots_used) DESC, id)
    WHERE status = 'active' AND NOT passed_over AND NOT exclusive AND slots_used < slots;
CREATE INDEX worker_freest_of_offer ON worker (offer, (slots - slots_used) DESC, id)
    WHERE status = 'active' AND NOT passed_over AND NOT exclusive AND slots_used < slots;

CREATE TABLE runtime (
    worker_id INTEGER NOT NULL REFERENCES worker (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    version   TEXT NOT NULL,
    path      TEXT NOT NULL,
    PRIMARY KEY (worker_id, name)
);

CREATE TABLE execution (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    action_id       INTEGER NOT NULL REFERENCES action (id),
    action_ref      TEXT NOT NULL,
    status          TEXT NOT NULL,
    attempt         INTEGER NOT NULL,
    max_attempts    INTEGER NOT NULL,
    class           TEXT NOT NULL, -- what a worker must offer
    class_key       TEXT NOT NULL, -- a hash of class, which may be too long for an index; equal ones are placed alike
    idempotency_key TEXT,
    request_digest  TEXT NOT NULL,
    timeout_us      INTEGER NOT NULL,
    trace           INTEGER NOT NULL,
    worker_id       INTEGER,
    worker_name     TEXT,
    incarnation     INTEGER,
    not_before      INTEGER NOT NULL,
    published_at    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    scheduled_at    INTEGER,
    started_at      INTEGER,
    finished_at     INTEGER,
    cancelled_by    TEXT,
    exit_code       INTEGER,
    signal          TEXT,
    error_kind      TEXT,
    error_message   TEXT,
    stdout_bytes    INTEGER NOT NULL DEFAULT 0,
    stdout_dropped  INTEGER NOT NULL DEFAULT 0,
    stderr_bytes    INTEGER NOT NULL DEFAULT 0,
    stderr_dropped  INTEGER NOT NULL DEFAULT 0,
    cpu_ms          INTEGER NOT NULL DEFAULT 0,
    max_rss_bytes   INTEGER NOT NULL DEFAULT 0,
    parameters      BLOB NOT NULL, -- secret ones masked
    secrets         BLOB,          -- the values of the secret ones, encrypted; NULL if there is none
    env             BLOB NOT NULL,
    context         BLOB NOT NULL,
    result          BLOB
);
-- Without status in front, SQLite takes execution_by_status and sorts all that waits.
CREATE INDEX execution_secret ON execution (id) WHERE secrets IS NOT NULL;
CREATE INDEX execution_waiting ON execution (status, class_key, not_before, id) WHERE status = 'requested';
CREATE INDEX execution_held ON execution (worker_id, status) WHERE status IN ('scheduled', 'running', 'canceling');
-- What is on its way to a worker or being cancelled, which is all that the sweep looks at.
CREATE INDEX execution_sent ON execution (id) WHERE status IN ('scheduled', 'canceling');
CREATE INDEX execution_by_status ON execution (status, id);
CREATE INDEX execution_by_action ON execution (action_ref, id);
CREATE INDEX execution_by_definition ON execution (action_id);
CREATE UNIQUE INDEX execution_idempotency ON execution (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The attempts before the present one.
CREATE TABLE execution_attempt (
    execution_id   INTEGER NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
    attempt        INTEGER NOT NULL,
    status         TEXT NOT NULL,
    worker_id      INTEGER,
    worker_name    TEXT,
    incarnation    INTEGER,
    scheduled_at   INTEGER,
    started_at     INTEGER,
    finished_at    INTEGER NOT NULL,
    exit_code      INTEGER,
    signal         TEXT,
    error_kind     TEXT,
    error_message  TEXT,
    stdout_bytes   INTEGER NOT NULL,
    stdout_dropped INTEGER NOT NULL,
    stderr_bytes   INTEGER NOT NULL,
    stderr_dropped INTEGER NOT NULL,
    cpu_ms         INTEGER NOT NULL,
    max_rss_bytes  INTEGER NOT NULL,
    PRIMARY KEY (execution_id, attempt)
);

CREATE TABLE artifact (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id INTEGER NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
    attempt      INTEGER NOT NULL,
    name         TEXT NOT NULL,
    type         TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    worker_name  TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    UNIQUE (execution_id, attempt, name)
);
CREATE INDEX artifact_by_age ON artifact (created_at);

CREATE TABLE key (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    owner       TEXT NOT NULL, -- system, pack or action
    owner_ref   TEXT NOT NULL, -- "" for system
    name        TEXT NOT NULL,
    key_id      TEXT NOT NULL, -- of the master key
    ciphertext  BLOB NOT NULL,
    value_bytes INTEGER NOT NULL,
    unmaskable  BOOLEAN NOT NULL, -- too short to be masked
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (owner, owner_ref, name)
);

-- Who did what with what is secret. Nothing of the program changes or removes a row.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    event   TEXT NOT NULL,
    subject TEXT NOT NULL
);

-- Final is final, whoever writes.
-- +goose StatementBegin
CREATE TRIGGER execution_final_is_final
BEFORE UPDATE OF status, attempt, worker_id, worker_name, incarnation, result, error_kind, error_message,
    exit_code, signal, finished_at ON execution
WHEN OLD.status IN ('completed', 'failed', 'timeout', 'cancelled', 'abandoned')
    AND (NEW.status, NEW.attempt, NEW.worker_id, NEW.worker_name, NEW.incarnation, NEW.result, NEW.error_kind,
         NEW.error_message, NEW.exit_code, NEW.signal, NEW.finished_at)
    IS NOT (OLD.status, OLD.attempt, OLD.worker_id, OLD.worker_name, OLD.incarnation, OLD.result, OLD.error_kind,
         OLD.error_message, OLD.exit_code, OLD.signal, OLD.finished_at)
BEGIN
    SELECT RAISE(ABORT, 'execution is final');
END;
-- +goose StatementEnd

-- The table of legal transitions of package attune; a test compares the two.
-- +goose StatementBegin
CREATE TRIGGER execution_legal_transition
BEFORE UPDATE OF status ON execution
WHEN NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) NOT IN (
    'requested>scheduled', 'requested>cancelled', 'requested>failed',
    'scheduled>running', 'scheduled>requested', 'scheduled>cancelled',
    'running>completed', 'running>failed', 'running>timeout', 'running>abandoned', 'running>requested',
    'running>canceling',
    'canceling>cancelled', 'canceling>completed', 'canceling>failed', 'canceling>timeout')
BEGIN
    SELECT RAISE(ABORT, 'illegal transition of an execution');
END;
-- +goose StatementEnd

-- The slots that an execution takes on its worker, counted where its row changes, so that nobody has to count rows to
-- find a free one, and no writer can forget to.
-- +goose StatementBegin
CREATE TRIGGER execution_moves_slot
AFTER UPDATE OF status, worker_id ON execution
WHEN (NEW.status IN ('scheduled', 'running', 'canceling'), NEW.worker_id)
    IS NOT (OLD.status IN ('scheduled', 'running', 'canceling'), OLD.worker_id)
BEGIN
    UPDATE worker SET slots_used = slots_used - 1
        WHERE id = OLD.worker_id AND OLD.status IN ('scheduled', 'running', 'canceling');
    UPDATE worker SET slots_used = slots_used + 1
        WHERE id = NEW.worker_id AND NEW.status IN ('scheduled', 'running', 'canceling');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER execution_takes_slot AFTER INSERT ON execution
WHEN NEW.status IN ('scheduled', 'running', 'canceling')
BEGIN
    UPDATE worker SET slots_used = slots_used + 1 WHERE id = NEW.worker_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER execution_frees_slot AFTER DELETE ON execution
WHEN OLD.status IN ('scheduled', 'running', 'canceling')
BEGIN
    UPDATE worker SET slots_used = slots_used - 1 WHERE id = OLD.worker_id;
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE key;
DROP TABLE artifact;
DROP TABLE execution_attempt;
DROP TABLE execution;
DROP TABLE runtime;
DROP TABLE worker;
DROP TABLE action;
DROP TABLE archive;
DROP TABLE pack;
