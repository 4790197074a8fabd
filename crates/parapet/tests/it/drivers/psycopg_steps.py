"""Does the steps read from stdin in one session of psycopg 3, and prints what came of each as JSON."""

import json
import os
import re
import sys

import psycopg

connection = psycopg.connect(autocommit=True)
came = []
for step in json.load(sys.stdin):
    # psycopg writes parameters as %s.
    sql = re.sub(r"\$\d+", "%s", step["sql"]) if step["values"] else step["sql"]
    try:
        with connection.cursor(binary=step["binary"]) as cursor:
            cursor.execute(sql, step["values"] or None)
            rows = cursor.fetchall() if cursor.description else []
            came.append({"rows": [[None if v is None else str(v) for v in row] for row in rows]})
    except psycopg.Error as error:
        came.append({"error": {"sqlstate": error.sqlstate or "", "message": error.diag.message_primary or str(error)}})
json.dump(came, sys.stdout)
