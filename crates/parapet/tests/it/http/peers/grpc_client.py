"""Calls through the gateway: reads {"port", "authority", "token", "calls": [[kind, method, input…]…], "ca"?} and says what came."""

import json
import sys

import grpc

given = json.load(sys.stdin)
metadata = [("authorization", f"Bearer {given['token']}")] if given.get("token") else []
options = [("grpc.default_authority", given["authority"]), ("grpc.enable_retries", 0)]
address = f"127.0.0.1:{given['port']}"
if given.get("ca"):
    credentials = grpc.ssl_channel_credentials(open(given["ca"], "rb").read())
    options.append(("grpc.ssl_target_name_override", given["authority"]))
    channel = grpc.secure_channel(address, credentials, options)
else:
    channel = grpc.insecure_channel(address, options)


def call(kind, method, inputs):
    path = f"/shop.Shop/{method}"
    encoded = [one.encode() for one in inputs]
    extra = {"metadata": metadata, "timeout": 20}
    try:
        if kind == "unary":
            answer, done = channel.unary_unary(path).with_call(encoded[0], **extra)
            return {"answers": [answer.decode()], "trailers": [[key, value] for key, value in done.trailing_metadata()]}
        if kind == "server":
            return {"answers": [one.decode() for one in channel.unary_stream(path)(encoded[0], **extra)]}
        if kind == "client":
            return {"answers": [channel.stream_unary(path)(iter(encoded), **extra).decode()]}
        heard = channel.stream_stream(path)(iter(encoded), **extra)
        return {"answers": [one.decode() for one in heard]}
    except grpc.RpcError as error:
        trailers = [[key, value if isinstance(value, str) else value.hex()] for key, value in error.trailing_metadata() or ()]
        return {"code": error.code().name, "details": error.details(), "trailers": trailers}


json.dump([call(kind, method, inputs) for kind, method, *inputs in given["calls"]], sys.stdout)
