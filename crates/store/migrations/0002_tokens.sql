-- Tokens that Parapet gave to workloads without an issuer. The token itself is nowhere; who has the file has no token.
CREATE TABLE native_tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 of the token.
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    workload   TEXT    NOT NULL,
    issued_at  INTEGER NOT NULL,
    issued_by  TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Nothing: in force until it expires.
    revoked_at INTEGER,
    revoked_by TEXT
) STRICT;

CREATE INDEX native_tokens_by_workload ON native_tokens (workload, issued_at);

-- Attestations that count once, until they expire: SHA-256 over issuer and `jti`.
CREATE TABLE spent_tokens (
    hash  BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_tokens_expiring ON spent_tokens (until);
