"""Reads the tables named on stdin by asyncpg, in every way that it has, and prints type and value of each cell as JSON."""

import asyncio
import json
import sys

import asyncpg


def cells(rows):
    return [[[type(value).__name__, str(value)] for value in row.values()] for row in rows]


async def main():
    connection = await asyncpg.connect(ssl=False)
    statements = {}
    for table in json.load(sys.stdin):
        # All are prepared before any is executed.
        statements[table] = await connection.prepare(f"select * from {table} order by id")
    came = {}
    for table, statement in statements.items():
        first = cells(await statement.fetch())
        async with connection.transaction():
            by_one = cells([row async for row in statement.cursor(prefetch=1)])
        came[table] = {"binary": first, "again": cells(await statement.fetch()), "cursor": by_one}
    await connection.close()
    json.dump(came, sys.stdout)


asyncio.run(main())
