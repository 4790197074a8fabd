-- Columns that hold copies of values of labelled columns, and the classes that these carried.
CREATE TABLE copied_labels (
    upstream    TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    table_name  TEXT NOT NULL,
    column_name TEXT NOT NULL,
    class       TEXT NOT NULL,
    PRIMARY KEY (upstream, schema_name, table_name, column_name, class)
) STRICT, WITHOUT ROWID;
