"""A real gRPC server over TLS: messages are JSON texts, so that no schema needs to be compiled.

    python grpc_server.py FOLDER        FOLDER holds server.crt and server.key

Says {"grpc": PORT} when it listens, and a line for each call.
"""

import json
import pathlib
import sys
from concurrent import futures

import grpc

folder = pathlib.Path(sys.argv[1])


def say(value):
    print(json.dumps(value), flush=True)


def note(context, method):
    say({"method": method, "metadata": [[key, str(value)] for key, value in context.invocation_metadata()]})


def echo(request, context):
    note(context, "Echo")
    context.set_trailing_metadata((("x-sum", str(len(request))),))
    return request


def fail(request, context):
    note(context, "Fail")
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def count(request, context):
    note(context, "Count")
    for number in range(int(request)):
        yield str(number).encode()


def collect(requests, context):
    note(context, "Collect")
    return b",".join(requests)


def chat(requests, context):
    note(context, "Chat")
    for one in requests:
        yield b"heard " + one


def shown(request, context):
    note(context, "Shown")
    if request == b"gzip":
        # Whatever the caller takes.
        context.set_compression(grpc.Compression.Gzip)
    showed = dict(context.invocation_metadata()).get("authorization", "nothing")
    context.set_trailing_metadata((("x-shown", showed),))
    return b"well " * 100 + request + b" by " + showed.encode()


handlers = grpc.method_handlers_generic_handler("shop.Shop", {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Shown": grpc.unary_unary_rpc_method_handler(shown),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
})
server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers((handlers,))
pair = ((folder / "server.key").read_bytes(), (folder / "server.crt").read_bytes())
say_port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
server.start()
say({"grpc": say_port})
sys.stdin.read()
server.stop(None)
