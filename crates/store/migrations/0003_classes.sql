-- What people decided about the classes of columns, over what the configuration and the database say of them.
CREATE TABLE class_decisions (
    upstream    TEXT    NOT NULL,
    schema_name TEXT    NOT NULL,
    table_name  TEXT    NOT NULL,
    column_name TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    decision    TEXT    NOT NULL CHECK (decision IN ('confirmed', 'rejected')),
    by          TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    reason      TEXT,
    PRIMARY KEY (upstream, schema_name, table_name, column_name, class)
) STRICT, WITHOUT ROWID;

-- What samples and results seemed to hold: kinds and counts, never values.
CREATE TABLE class_suggestions (
    upstream    TEXT    NOT NULL,
    schema_name TEXT    NOT NULL,
    table_name  TEXT    NOT NULL,
    column_name TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    origin      TEXT    NOT NULL CHECK (origin IN ('name', 'scan', 'results')),
    -- Nothing: the name alone says so.
    detector    TEXT,
    confidence  TEXT    NOT NULL CHECK (confidence IN ('low', 'medium', 'high')),
    hits        INTEGER NOT NULL,
    samples     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (upstream, schema_name, table_name, column_name, class)
) STRICT, WITHOUT ROWID;
