"""COPY in (binary) and out (text) by asyncpg: how many rows went each way, and how many card numbers came in clear."""

import asyncio
import io

import asyncpg


async def main():
    connection = await asyncpg.connect(ssl=False)
    records = [(number, f"note {number}") for number in range(1000)]
    await connection.copy_records_to_table("notes", records=records)
    out = io.BytesIO()
    await connection.copy_from_query("select id, card from customers", output=out)
    lines = out.getvalue().decode().splitlines()
    count = await connection.fetchval("select count(*) from notes")
    print(f"in={count} out={len(lines)} clear={sum('4111' in line for line in lines)}")


asyncio.run(main())
