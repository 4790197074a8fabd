-- What was done to workloads because of one source, grouped for a person who judges it, and undoes it at once if it was wrong.
CREATE TABLE incidents (
    id       TEXT    NOT NULL PRIMARY KEY,
    -- Such as `stream idp` or `policy "hot"`.
    source   TEXT    NOT NULL,
    opened   INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    state    TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'undone', 'closed')),
    ended_by TEXT,
    ended_why TEXT
) STRICT;

CREATE INDEX incidents_open ON incidents (source, last) WHERE state = 'open';

CREATE TABLE incident_effects (
    number   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    incident TEXT    NOT NULL REFERENCES incidents (id),
    at       INTEGER NOT NULL,
    workload TEXT    NOT NULL,
    effect   TEXT    NOT NULL CHECK (effect IN ('quarantined', 'revoked', 'risk', 'token')),
    -- Why, as the workload's standing or risk has it; for a token its id.
    cause    TEXT    NOT NULL,
    times    INTEGER NOT NULL DEFAULT 1,
    -- The revocation that stood before, as JSON, to be put back.
    before   TEXT,
    UNIQUE (incident, workload, effect, cause)
) STRICT;
