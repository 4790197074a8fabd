-- Approvals: the body is the whole of an approval as JSON; the other columns are what is looked up and made unique.
CREATE TABLE approvals (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- Counts the changes of this approval. Every change is one UPDATE that names the version it was made from.
    version    INTEGER NOT NULL,
    -- Counts the changes of all approvals, so that a watcher can ask for what is new.
    revision   INTEGER NOT NULL UNIQUE,
    workload   TEXT    NOT NULL,
    upstream   TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    -- The person who started the run, or nothing. Requests that different people started are never joined: whoever
    -- joined the request of another could approve it, and so their own.
    started_by TEXT    NOT NULL,
    state      TEXT    NOT NULL
        CHECK (state IN ('asked', 'granted', 'rejected', 'expired', 'withdrawn', 'used', 'revoked')),
    asked_at   INTEGER NOT NULL,
    expires_at INTEGER,
    body       TEXT    NOT NULL
) STRICT;

-- Equal requests are one.
CREATE UNIQUE INDEX approvals_open ON approvals (workload, upstream, digest, started_by)
    WHERE state IN ('asked', 'granted');
CREATE INDEX approvals_expiring ON approvals (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX approvals_by_state ON approvals (state, id);

-- What people or policies did to a workload, over what the configuration says of it.
CREATE TABLE workloads (
    name     TEXT    NOT NULL PRIMARY KEY,
    -- Nothing: as configured.
    status   TEXT    CHECK (status IN ('quarantined', 'retired')),
    reason   TEXT,
    -- Nothing: the gateway itself.
    by       TEXT,
    at       INTEGER NOT NULL,
    risk     INTEGER NOT NULL DEFAULT 0 CHECK (risk BETWEEN 0 AND 100),
    revision INTEGER NOT NULL
) STRICT;
