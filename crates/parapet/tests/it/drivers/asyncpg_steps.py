"""Does the steps read from stdin in one session of asyncpg, and prints what came of each as JSON."""

import asyncio
import json
import sys

import asyncpg


async def main():
    connection = await asyncpg.connect(ssl=False)
    came = []
    for step in json.load(sys.stdin):
        try:
            rows = await connection.fetch(step["sql"], *step["values"])
            came.append({"rows": [[None if v is None else str(v) for v in row.values()] for row in rows]})
        except asyncpg.PostgresError as error:
            came.append({"error": {"sqlstate": error.sqlstate, "message": error.message}})
    await connection.close()
    json.dump(came, sys.stdout)


asyncio.run(main())
