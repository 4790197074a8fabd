-- Requests that are kept until people have answered, and what became of them. What they hold is encrypted under a key of their
-- own, which is closed under the master key.
CREATE TABLE kept_requests (
    -- The approval that it waits for.
    approval TEXT    NOT NULL PRIMARY KEY,
    workload TEXT    NOT NULL,
    upstream TEXT    NOT NULL,
    session  TEXT    NOT NULL,
    -- For which it was asked; none for no task.
    task     TEXT,
    state    TEXT    NOT NULL,
    decision TEXT,
    status   INTEGER,
    -- When it is forgotten; none while it is under way.
    until    INTEGER,
    key      BLOB    NOT NULL,
    -- None once it was sent or has ended.
    request  BLOB,
    answer   BLOB
) STRICT;

CREATE INDEX kept_requests_over ON kept_requests (until) WHERE until IS NOT NULL;
CREATE INDEX kept_requests_by_upstream ON kept_requests (upstream);
