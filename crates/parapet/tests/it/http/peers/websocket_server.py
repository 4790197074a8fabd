"""A real WebSocket server: echoes, and says what asked to be upgraded, and how long each message is. Says {"websocket": PORT} when it
listens. On /ping it pings first, and waits for the pong that repeats it; on /shown it says with each message which credential it was
shown.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import serve


def say(value):
    print(json.dumps(value), flush=True)


async def talk(connection):
    request = connection.request
    say({"path": request.path, "headers": [[key.lower(), value] for key, value in request.headers.raw_items()]})
    if request.path.startswith("/ping"):
        await asyncio.wait_for(await connection.ping("c4n4ry@example.com"), 10)
        say({"pong": True})
    async for message in connection:
        say({"message": len(message)})
        if request.path == "/shown":
            message = [message, " by ", *request.headers["authorization"]]
        await connection.send(message)
    say({"closed": connection.close_code})


async def main():
    async with serve(talk, "127.0.0.1", 0, max_size=None) as server:
        say({"websocket": server.sockets[0].getsockname()[1]})
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
