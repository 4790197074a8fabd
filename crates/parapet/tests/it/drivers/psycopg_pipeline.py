"""An insert and a denied DELETE in one pipeline of psycopg: the insert is rolled back, the connection goes on."""

import psycopg

connection = psycopg.connect(autocommit=True)
sqlstate, aborted = None, False
try:
    with connection.pipeline() as pipeline:
        connection.execute("insert into notes values (%s, 'a')", [1])
        connection.execute("delete from notes", prepare=True)
        connection.execute("insert into notes values (%s, 'b')", [2])
        pipeline.sync()
except psycopg.Error as error:
    sqlstate = error.sqlstate
    aborted = True
rows = connection.execute("select count(*) from notes").fetchone()[0]
after = connection.execute("select 1").fetchone()[0]
print(f"{sqlstate} aborted={aborted} rows={rows} after={after}")
