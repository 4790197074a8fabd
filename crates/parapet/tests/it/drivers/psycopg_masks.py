"""Reads the tables named on stdin by psycopg 3, in every way that it has, and prints type and value of each cell as JSON."""

import json
import sys

import psycopg

connection = psycopg.connect(autocommit=True)


def cells(rows):
    return [[[type(value).__name__, str(value)] for value in row] for row in rows]


def once(sql, **options):
    with connection.cursor(**options) as cursor:
        return cells(cursor.execute(sql).fetchall())


def prepared(sql, binary):
    # Prepared at the first use; described then, and not at the second.
    for _ in range(2):
        with connection.cursor(binary=binary) as cursor:
            rows = cursor.execute(sql, prepare=True).fetchall()
    return cells(rows)


def by_one(sql, binary):
    with connection.transaction(), connection.cursor(name="by_one", binary=binary) as cursor:
        cursor.itersize = 1
        cursor.execute(sql)
        return cells(list(cursor))


tables = json.load(sys.stdin)
came = {}
for table in tables:
    sql = f"select * from {table} order by id"
    came[table] = {
        "text": once(sql),
        "binary": once(sql, binary=True),
        "prepared text": prepared(sql, False),
        "prepared binary": prepared(sql, True),
        "cursor text": by_one(sql, False),
        "cursor binary": by_one(sql, True),
    }
json.dump(came, sys.stdout)
