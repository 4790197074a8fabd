-- Tasks that were issued. No token stands here: who has the file has none.
CREATE TABLE tasks (
    id         TEXT    NOT NULL PRIMARY KEY,
    workload   TEXT    NOT NULL,
    issued_at  INTEGER NOT NULL,
    -- Nothing: an attestation was exchanged for it.
    issued_by  TEXT,
    expires_at INTEGER NOT NULL,
    -- Who acts for whom, and what it allows: JSON.
    chain      TEXT    NOT NULL,
    details    TEXT    NOT NULL,
    bound      INTEGER NOT NULL CHECK (bound IN (0, 1)),
    -- Nothing: in force until it ends.
    revoked_at INTEGER,
    revoked_by TEXT
) STRICT;

CREATE INDEX tasks_by_end ON tasks (expires_at);
