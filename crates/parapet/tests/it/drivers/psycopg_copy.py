"""COPY in and out by psycopg: how many rows went each way, and how many card numbers came in clear."""

import psycopg

connection = psycopg.connect(autocommit=True)
with connection.cursor() as cursor:
    with cursor.copy("copy notes (id, body) from stdin") as copy:
        for number in range(1000):
            copy.write_row((number, f"note {number}"))
    rows = clear = 0
    with cursor.copy("copy (select id, card from customers) to stdout") as copy:
        for row in copy.rows():
            rows += 1
            clear += "4111" in row[1]
    count = cursor.execute("select count(*) from notes").fetchone()[0]
print(f"in={count} out={rows} clear={clear}")
