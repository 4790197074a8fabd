"""Talks through the gateway: reads {"port", "host", "path", "token", "messages", "big"} and says what came back; or with "wait" instead of
"big" how the connection was ended after the messages, and at what time, in seconds since 1970.
"""

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

given = json.load(sys.stdin)


async def main():
    headers = {"Authorization": f"Bearer {given['token']}"} if given.get("token") else {}
    url = f"ws://{given['host']}{given['path']}"
    try:
        async with connect(url, additional_headers=headers, host="127.0.0.1", port=given["port"], max_size=None, open_timeout=20) as connection:
            heard = []
            try:
                for message in given["messages"]:
                    await connection.send(bytes.fromhex(message["hex"]) if isinstance(message, dict) else message)
                    heard.append(await asyncio.wait_for(connection.recv(), 20))
                if given.get("wait"):
                    await asyncio.wait_for(connection.recv(), 60)
            except ConnectionClosed as closed:
                said = closed.rcvd
                return {"heard": heard, "at": time.time(), "code": said and said.code, "reason": said and said.reason}
            big = bytes(range(256)) * (given.get("big", 0) // 256)
            same = True
            if big:
                await connection.send(big)
                same = await asyncio.wait_for(connection.recv(), 60) == big
            # A message in fragments, and a ping in the middle of it.
            async def parts():
                for part in ("one ", "two ", "three"):
                    yield part
            await connection.send(parts())
            heard.append(await asyncio.wait_for(connection.recv(), 20))
            await (await connection.ping())
            extensions = [type(one).__name__ for one in connection.protocol.extensions]
        return {"heard": heard, "same": same, "extensions": extensions, "closed": connection.protocol.close_code}
    except InvalidStatus as refused:
        return {"status": refused.response.status_code, "body": bytes(refused.response.body or b"").decode("latin1")}


json.dump(asyncio.run(main()), sys.stdout)
