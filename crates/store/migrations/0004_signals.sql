-- How risky workloads are, and from when on their attestations count. The reasons are JSON; nothing else looks into them.
CREATE TABLE risks (
    workload       TEXT    NOT NULL PRIMARY KEY,
    reasons        TEXT    NOT NULL,
    -- What was issued until then does not count. Nothing: nothing was revoked.
    revoked_before INTEGER,
    revoked_why    TEXT,
    revision       INTEGER NOT NULL
) STRICT;

-- Security events that were taken, each once. SHA-256 over issuer and `jti` tells one that comes again.
CREATE TABLE signals (
    number    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    hash      BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    at        INTEGER NOT NULL,
    stream    TEXT    NOT NULL,
    event     TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    -- The workloads that it was about, as JSON; an empty list if it was about none that is known.
    workloads TEXT    NOT NULL,
    outcome   TEXT    NOT NULL,
    -- A person has seen it.
    seen_by   TEXT
) STRICT;

CREATE INDEX signals_by_time ON signals (at);

-- What is known of the streams that events come by.
CREATE TABLE streams (
    name        TEXT    NOT NULL PRIMARY KEY,
    last_event  INTEGER,
    verified_at INTEGER,
    asked_at    INTEGER,
    refused     INTEGER NOT NULL DEFAULT 0,
    refused_why TEXT,
    unmatched   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Our own events on their way to those who listen. A row goes when the receiver has acknowledged it.
CREATE TABLE outgoing (
    number   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    receiver TEXT    NOT NULL,
    jti      TEXT    NOT NULL UNIQUE,
    token    TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

CREATE INDEX outgoing_by_receiver ON outgoing (receiver, number);

-- What receivers have chosen of their streams, as JSON.
CREATE TABLE receivers (
    name     TEXT NOT NULL PRIMARY KEY,
    settings TEXT NOT NULL
) STRICT;

-- Up to which audit entry our own events were made: none is lost by a crash, none is made twice.
CREATE TABLE transmitted (
    workload TEXT NOT NULL PRIMARY KEY,
    status   TEXT NOT NULL
) STRICT;
